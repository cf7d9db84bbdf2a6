import { bytes, topic, type Entry, type Topic } from '../src/index.ts'

/** 100-byte values under 12-byte keys: the records of every figure. */
export const valueBytes = 100
export const keyBytes = 12
export const partitions = 4
/** Distinct keys: how many rows a state has. */
export const distinctKeys = 10_000

/** Records go out in batches of so many, and so many batches are on their way at once. */
export const batchRecords = 5_000
export const batchesInFlight = 4

const keyAt = (number: number): Buffer => Buffer.from(`key-${String(number).padStart(keyBytes - 4, '0')}`)
const keys = Array.from({ length: distinctKeys }, (_, index) => keyAt(index))
// Not compressible to nothing, the same in every run.
const values = Array.from({ length: 997 }, (_, index) => {
  const value = Buffer.alloc(valueBytes)
  for (let at = 0, seed = index + 1; at < valueBytes; at++)
    value[at] = (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) >> 16
  return value
})

/**
 * Record number `index`; key and value are shared between records, as bytes that nobody changes.
 * @param distinct so many keys take turns: no multiple of 7,919
 */
export function recordAt(
  index: number,
  distinct: number = distinctKeys
): { readonly key: Buffer; readonly value: Buffer } {
  const number = (index * 7_919) % distinct
  return { key: distinct === distinctKeys ? keys[number]! : keyAt(number), value: values[index % values.length]! }
}

export function byteTopic(name: string, count: number = partitions): Topic<string, Uint8Array, Uint8Array> {
  return topic(name, { key: bytes, value: bytes, partitions: count })
}

let made = 0
const run = Date.now().toString(36)

/** A topic or group name that no other run has used. */
export function fresh(name: string): string {
  return `bench-${name}-${run}-${++made}`
}

/** Calls `send` for each batch of `count` records, several at once. */
export async function inBatches(count: number, send: (from: number, to: number) => Promise<unknown>): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < count) {
      const from = next
      next = Math.min(count, from + batchRecords)
      await send(from, next)
    }
  }
  await Promise.all(Array.from({ length: batchesInFlight }, lane))
}

export function entries(from: number, to: number, distinct?: number): Entry<Uint8Array, Uint8Array>[] {
  return Array.from({ length: to - from }, (_, index) => recordAt(from + index, distinct))
}
