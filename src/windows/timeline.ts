import { view, type Codec } from '../core/codec.ts'
import { StreamError } from '../core/errors.ts'

/** A record that waits for its partners. */
export interface Waiting<Value = unknown> {
  readonly time: number
  readonly value: Value
  /** It has had a partner. */
  readonly matched: boolean
  /** The value as bytes, once it has been encoded: a commit writes all that wait, most of them unchanged. */
  bytes?: Uint8Array | null
}

/**
 * Records of one key and one side in order of time. A value: each change gives another one, and the old one is good until
 * the new one is changed again, which is as long as an attempt may be undone. To append is cheap all the same, because the
 * two share their memory.
 */
export class Timeline<Value = unknown> {
  static readonly empty: Timeline<never> = new Timeline([], 0, 0)
  readonly #items: Waiting<Value>[]
  readonly #from: number
  readonly #to: number

  constructor(items: Waiting<Value>[], from: number, to: number) {
    this.#items = items
    this.#from = from
    this.#to = to
  }

  static of<Value>(items: readonly Waiting<Value>[]): Timeline<Value> {
    return items.length === 0 ? Timeline.empty : new Timeline([...items], 0, items.length)
  }

  get size(): number {
    return this.#to - this.#from
  }

  /** The earliest one. */
  get first(): Waiting<Value> | undefined {
    return this.size > 0 ? this.#items[this.#from] : undefined
  }

  *[Symbol.iterator](): Generator<Waiting<Value>> {
    for (let at = this.#from; at < this.#to; at++) yield this.#items[at]!
  }

  /** Behind those of the same time. */
  add(item: Waiting<Value>): Timeline<Value> {
    const items = this.#items
    const to = this.#to
    if (this.size > 0 && items[to - 1]!.time > item.time) {
      const at = this.#after(item.time)
      return Timeline.of([...items.slice(this.#from, at), item, ...items.slice(at, to)])
    }
    if (this.size === 0) return new Timeline([item], 0, 1)
    // What lies behind belongs to an attempt that was undone.
    items.length = to
    items.push(item)
    return new Timeline(items, this.#from, to + 1)
  }

  /** Those with a time from `least` to `most`, both included, in order. */
  between(least: number, most: number): readonly Waiting<Value>[] {
    if (this.size === 0 || this.#items[this.#to - 1]!.time < least) return []
    const from = this.#after(least - 1) // times are whole
    let to = from
    while (to < this.#to && this.#items[to]!.time <= most) to++
    return this.#items.slice(from, to)
  }

  /** Marks them as matched. They must be in it. */
  match(items: readonly Waiting<Value>[]): Timeline<Value> {
    const fresh = new Set(items.filter(({ matched }) => !matched))
    if (fresh.size === 0) return this
    return Timeline.of(Array.from(this, item => (fresh.has(item) ? { ...item, matched: true } : item)))
  }

  /** Without those before `time`. */
  from(time: number): Timeline<Value> {
    const from = this.#after(time - 1)
    if (from === this.#from) return this
    if (from === this.#to) return Timeline.empty
    // Memory of what is gone is given back when it is the larger half.
    return from * 2 > this.#to
      ? Timeline.of(this.#items.slice(from, this.#to))
      : new Timeline(this.#items, from, this.#to)
  }

  /** The place behind all with a time of at most `time`. */
  #after(time: number): number {
    let low = this.#from
    let high = this.#to
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#items[middle]!.time <= time) low = middle + 1
      else high = middle
    }
    return low
  }
}

const matchedFlag = 1
const nullFlag = 2
/** time, flags, length. */
const itemBytes = 8 + 1 + 4

export function encodeTimeline<Value>(timeline: Timeline<Value>, value: Codec<Value>): Buffer {
  let size = 4
  for (const item of timeline) {
    if (item.bytes === undefined) item.bytes = item.value === null ? null : value.encode(item.value)
    size += itemBytes + (item.bytes?.byteLength ?? 0)
  }
  const bytes = Buffer.allocUnsafe(size)
  let at = bytes.writeUInt32BE(timeline.size, 0)
  for (const { time, matched, bytes: body } of timeline) {
    at = bytes.writeDoubleBE(time, at)
    at = bytes.writeUInt8((matched ? matchedFlag : 0) | (body ? 0 : nullFlag), at)
    at = bytes.writeUInt32BE(body?.byteLength ?? 0, at)
    if (body) bytes.set(body, at)
    at += body?.byteLength ?? 0
  }
  return bytes
}

/** @param decode `null` where the value was */
export function decodeTimeline<Value>(row: Uint8Array, decode: (body: Uint8Array | null) => Value): Waiting<Value>[] {
  const bytes = view(row)
  const items: Waiting<Value>[] = []
  let at = 4
  for (let left = bytes.readUInt32BE(0); left > 0; left--) {
    const time = bytes.readDoubleBE(at)
    const flags = bytes[at + 8]!
    const length = bytes.readUInt32BE(at + 9)
    at += itemBytes
    const body = flags & nullFlag ? null : bytes.subarray(at, at + length)
    items.push({ time, value: decode(body), matched: (flags & matchedFlag) !== 0 })
    at += length
  }
  if (at !== bytes.byteLength) throw new StreamError('corrupt', 'records that wait for a join do not parse')
  return items
}
