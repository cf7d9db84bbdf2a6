import { createHash } from 'node:crypto'
import { digestLength, frame, magic, type Tag } from './aggregate.ts'

/** A record of an aggregate, its bytes in the memory of the whole. */
export class AggregatedRecord {
  readonly key: string
  /** Decimal; `undefined`: the MD5 of the key decides. */
  readonly hashKey: string | undefined
  readonly data: Buffer
  readonly #whole: Buffer
  /** Start and end of each tag. */
  readonly #tags: readonly number[]

  constructor(key: string, hashKey: string | undefined, data: Buffer, whole: Buffer, tags: readonly number[]) {
    this.key = key
    this.hashKey = hashKey
    this.data = data
    this.#whole = whole
    this.#tags = tags
  }

  /** Made when they are asked for: most readers of a shard want the records of some partitions only. */
  get tags(): readonly Tag[] {
    if (this.#tags.length === 0) return noTags
    const tags: Tag[] = []
    for (let index = 0; index < this.#tags.length; index += 2) {
      const tag = tagAt(this.#whole, this.#tags[index]!, this.#tags[index + 1]!)
      if (tag) tags.push(tag)
    }
    return tags
  }
}

/** The records of an aggregate in their order; `undefined` for anything else, which is then one record by itself. */
export function readAggregate(whole: Buffer): readonly AggregatedRecord[] | undefined {
  if (whole.length < frame || whole.compare(magic, 0, 4, 0, 4) !== 0) return undefined
  const end = whole.length - digestLength
  const digest = createHash('md5').update(whole.subarray(magic.length, end)).digest()
  if (whole.compare(digest, 0, digestLength, end) !== 0) return undefined
  try {
    return parse(whole, end)
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
}

class Malformed extends Error {}

function parse(whole: Buffer, end: number): readonly AggregatedRecord[] {
  const keys: string[] = []
  const hashKeys: string[] = []
  const places: number[] = []
  const cursor = { at: magic.length }
  while (cursor.at < end) {
    const field = varint(whole, cursor, end)
    if (field === 0x0a) keys.push(text(whole, cursor, end))
    else if (field === 0x12) hashKeys.push(text(whole, cursor, end))
    else if (field === 0x1a) {
      const length = lengthOf(whole, cursor, end)
      places.push(cursor.at, cursor.at + length)
      cursor.at += length
    } else skip(whole, cursor, end, field)
  }
  // The tables may stand behind the records.
  const records: AggregatedRecord[] = []
  for (let index = 0; index < places.length; index += 2)
    records.push(record(whole, places[index]!, places[index + 1]!, keys, hashKeys))
  return records
}

const noTags: readonly Tag[] = []
const noPlaces: readonly number[] = []

function record(
  whole: Buffer,
  from: number,
  end: number,
  keys: readonly string[],
  hashKeys: readonly string[]
): AggregatedRecord {
  const cursor = { at: from }
  let key: string | undefined
  let hashKey: string | undefined
  let data: Buffer | undefined
  let tags: number[] | undefined
  while (cursor.at < end) {
    const field = varint(whole, cursor, end)
    if (field === 0x08) key = entry(keys, varint(whole, cursor, end))
    else if (field === 0x10) hashKey = entry(hashKeys, varint(whole, cursor, end))
    else if (field === 0x1a) {
      const length = lengthOf(whole, cursor, end)
      data = whole.subarray(cursor.at, (cursor.at += length))
    } else if (field === 0x22) {
      const length = lengthOf(whole, cursor, end)
      ;(tags ??= []).push(cursor.at, (cursor.at += length))
    } else skip(whole, cursor, end, field)
  }
  if (key === undefined || data === undefined) throw new Malformed()
  return new AggregatedRecord(key, hashKey, data, whole, tags ?? noPlaces)
}

/** `undefined` for one that is malformed: no reason to lose its record. */
function tagAt(whole: Buffer, from: number, end: number): Tag | undefined {
  const cursor = { at: from }
  let name: string | undefined
  let value = ''
  try {
    while (cursor.at < end) {
      const field = varint(whole, cursor, end)
      if (field === 0x0a) name = text(whole, cursor, end)
      else if (field === 0x12) value = text(whole, cursor, end)
      else skip(whole, cursor, end, field)
    }
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
  return name === undefined ? undefined : [name, value]
}

interface Cursor {
  at: number
}

function entry(table: readonly string[], index: number): string {
  const found = table[index]
  if (found === undefined) throw new Malformed()
  return found
}

function text(whole: Buffer, cursor: Cursor, end: number): string {
  const length = lengthOf(whole, cursor, end)
  return whole.toString('utf8', cursor.at, (cursor.at += length))
}

function lengthOf(whole: Buffer, cursor: Cursor, end: number): number {
  const length = varint(whole, cursor, end)
  if (cursor.at + length > end) throw new Malformed()
  return length
}

function varint(whole: Buffer, cursor: Cursor, end: number): number {
  let value = 0
  for (let scale = 1; ; scale *= 0x80) {
    if (cursor.at >= end || scale > 2 ** 63) throw new Malformed()
    const byte = whole[cursor.at++]!
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return value
  }
}

/** A field of a later version of the format. */
function skip(whole: Buffer, cursor: Cursor, end: number, field: number): void {
  const wireType = field % 8
  if (wireType === 0) varint(whole, cursor, end)
  else if (wireType === 1) cursor.at += 8
  else if (wireType === 2) {
    const length = lengthOf(whole, cursor, end)
    cursor.at += length
  } else if (wireType === 5) cursor.at += 4
  else throw new Malformed()
  if (cursor.at > end) throw new Malformed()
}
