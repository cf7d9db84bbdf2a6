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

const keys = Array.from({ length: distinctKeys }, (_, index) =>
  Buffer.from(`key-${String(index).padStart(keyBytes - 4, '0')}`)
)
// Not compressible to nothing, the same in every run.
const values = Array.from({ length: 997 }, (_, index) => {
  const value = Buffer.alloc(valueBytes)
  for (let at = 0, seed = index + 1; at < valueBytes; at++)
    value[at] = (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) >> 16
  return value
})

/** Record number `index`; key and value are shared between records, as bytes that nobody changes. */
export function recordAt(index: number): { readonly key: Buffer; readonly value: Buffer } {
  return { key: keys[(index * 7_919) % distinctKeys]!, value: values[index % values.length]! }
}

export function byteTopic(name: string): Topic<string, Uint8Array, Uint8Array> {
  return topic(name, { key: bytes, value: bytes, partitions })
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

export function entries(from: number, to: number): Entry<Uint8Array, Uint8Array>[] {
  return Array.from({ length: to - from }, (_, index) => recordAt(from + index))
}
