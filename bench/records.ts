import { bytes, topic, type Entry, type Topic } from '../src/index.ts'

/** 100-byte values under 12-byte keys: the records of every figure that does not say something else. */
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
const valuesOf = (bytes: number): readonly Buffer[] =>
  Array.from({ length: 997 }, (_, index) => {
    const value = Buffer.alloc(bytes)
    for (let at = 0, seed = index + 1; at < bytes; at++)
      value[at] = (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) >> 16
    return value
  })
const values = valuesOf(valueBytes)
/** Bytes of a value -> values that take turns. */
const others = new Map<number, readonly Buffer[]>()

/** What records are like that are not like those of every figure. */
export interface Shape {
  /** So many keys take turns: no multiple of 7,919. */
  readonly keys?: number | undefined
  /** Of a value. */
  readonly bytes?: number | undefined
}

const usual: Shape = {}

/** Record number `index`; key and value are shared between records, as bytes that nobody changes. */
export function recordAt(
  index: number,
  { keys: distinct = distinctKeys, bytes: size = valueBytes }: Shape = usual
): { readonly key: Buffer; readonly value: Buffer } {
  const number = (index * 7_919) % distinct
  let turns = size === valueBytes ? values : others.get(size)
  if (!turns) others.set(size, (turns = valuesOf(size)))
  return { key: distinct === distinctKeys ? keys[number]! : keyAt(number), value: turns[index % turns.length]! }
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

/**
 * Calls `send` for each batch of `count` records, several at once.
 * @param bytes of a value: batches of large ones have fewer records
 */
export async function inBatches(
  count: number,
  send: (from: number, to: number) => Promise<unknown>,
  bytes: number = valueBytes
): Promise<void> {
  const each = Math.round((batchRecords * valueBytes) / Math.max(bytes, valueBytes))
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < count) {
      const from = next
      next = Math.min(count, from + each)
      await send(from, next)
    }
  }
  await Promise.all(Array.from({ length: batchesInFlight }, lane))
}

export function entries(from: number, to: number, shape?: Shape): Entry<Uint8Array, Uint8Array>[] {
  return Array.from({ length: to - from }, (_, index) => recordAt(from + index, shape))
}
