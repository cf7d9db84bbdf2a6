import { isUtf8 } from 'node:buffer'
import { StreamError } from '../../core/errors.ts'
import { readDecimal } from './decimal.ts'
import { isWrapped, logicalOf } from './logical-type.ts'
import { largestNumber, readLong } from './long.ts'
import {
  branchName,
  type AvroType,
  type FixedType,
  type PrimitiveType,
  type RecordType,
  type UnionType
} from './model.ts'
import {
  assertRoom,
  depthLimit,
  eachBlock,
  forbiddenKey,
  length,
  need,
  refuse,
  smallest,
  whole,
  type Cursor,
  type Proof
} from './proof.ts'
import { shortTexts, type TextOf } from './short-text.ts'
import { day, microseconds, milliseconds } from './values.ts'

type Read = (cursor: Cursor) => unknown

/**
 * Reads bytes that were written with the very same schema, and proves them on the way: one pass where a proof and a decoder are
 * two. What is refused is refused by the proof, which knows the place. Nothing for schemas whose items may be empty: only the proof
 * knows how many there may be before there is one.
 */
export function readerOf(
  type: AvroType,
  longs: 'bigint' | 'number',
  proof: Proof
): ((bytes: Buffer, start: number) => unknown) | undefined {
  if (hasEmptyItems(type, new Set())) return undefined
  const read = readOf(type, { longs, known: new Map(), string: stringRead(shortTexts()) })
  const nothing = Buffer.alloc(0)
  const cursor: Cursor = { bytes: nothing, position: 0, end: 0, depth: 0, emptyItems: 0, field: '' }
  return (bytes, start) => {
    cursor.bytes = bytes
    cursor.position = start
    cursor.end = bytes.length
    cursor.depth = 0
    try {
      const value = read(cursor)
      if (cursor.position !== cursor.end) throw refuse(cursor, 'bytes follow the end of the value')
      return value
    } catch (error) {
      proof(bytes, start)
      // It is a value, of which JavaScript has none: a time beyond what a Date holds, a long beyond what a number does.
      throw error
    } finally {
      cursor.bytes = nothing
    }
  }
}

function hasEmptyItems(type: AvroType, seen: Set<AvroType>): boolean {
  if (seen.has(type)) return false
  seen.add(type)
  switch (type.kind) {
    case 'array':
      return smallest(type.items) === 0 || hasEmptyItems(type.items, seen)
    case 'map':
      return hasEmptyItems(type.values, seen)
    case 'union':
      return type.branches.some(branch => hasEmptyItems(branch, seen))
    case 'record':
      return type.fields.some(field => hasEmptyItems(field.type, seen))
    default:
      return false
  }
}

interface Context {
  readonly longs: 'bigint' | 'number'
  readonly known: Map<AvroType, Read>
  readonly string: (cursor: Cursor) => string
}

function readOf(type: AvroType, context: Context): Read {
  const found = context.known.get(type)
  if (found) return found
  switch (type.kind) {
    case 'record':
      return record(type, context)
    case 'union':
      return union(type, context)
    case 'array':
      return array(type.items, context)
    case 'map':
      return map(type.values, context)
    case 'enum': {
      const { symbols, name } = type
      return cursor => {
        const symbol = symbols[whole(cursor)]
        if (symbol === undefined) throw refuse(cursor, `${name} has no such symbol`)
        return symbol
      }
    }
    case 'fixed':
      return fixed(type)
    default:
      return primitive(type, context)
  }
}

function primitive(type: PrimitiveType, { longs, string }: Context): Read {
  const logical = logicalOf(type)
  switch (type.kind) {
    case 'null':
      return () => null
    case 'boolean':
      return cursor => {
        need(cursor, 1)
        const byte = cursor.bytes[cursor.position++]!
        if (byte > 1) throw refuse(cursor, 'a boolean is neither 0 nor 1')
        return byte === 1
      }
    case 'int':
      return logical?.name === 'date' ? cursor => day.fromValue(int(cursor)) : int
    case 'long':
      if (logical?.name === 'timestamp-millis') return cursor => milliseconds.fromValue(number(cursor))
      if (logical?.name === 'timestamp-micros') return cursor => microseconds.fromValue(bigint(cursor))
      return longs === 'bigint' ? bigint : number
    case 'float':
      return cursor => {
        need(cursor, 4)
        cursor.position += 4
        return cursor.bytes.readFloatLE(cursor.position - 4)
      }
    case 'double':
      return cursor => {
        need(cursor, 8)
        cursor.position += 8
        return cursor.bytes.readDoubleLE(cursor.position - 8)
      }
    case 'bytes':
      if (logical?.name === 'decimal') return cursor => readDecimal(part(cursor, length(cursor)), logical.scale!)
      return cursor => Buffer.from(part(cursor, length(cursor)))
    case 'string':
      return string
  }
}

function fixed(type: FixedType): Read {
  const { size } = type
  const logical = logicalOf(type)
  const take = (cursor: Cursor): Buffer => {
    need(cursor, size)
    return part(cursor, size)
  }
  if (logical?.name === 'decimal') return cursor => readDecimal(take(cursor), logical.scale!)
  return cursor => Buffer.from(take(cursor))
}

/** A view, not to be kept. */
function part(cursor: Cursor, size: number): Buffer {
  const start = cursor.position
  cursor.position += size
  return cursor.bytes.subarray(start, cursor.position)
}

function int(cursor: Cursor): number {
  const value = whole(cursor)
  if (value !== (value | 0)) throw refuse(cursor, 'an int does not fit 32 bits')
  return value
}

/** Zigzag varints of so many bytes are whole numbers that a double holds exactly. */
const exactBytes = 7

function bigint(cursor: Cursor): bigint {
  const start = cursor.position
  const value = whole(cursor)
  if (cursor.position - start <= exactBytes) return BigInt(value)
  return readLong(cursor.bytes.subarray(start, cursor.position))
}

function number(cursor: Cursor): number {
  const start = cursor.position
  const value = whole(cursor)
  if (cursor.position - start <= exactBytes) return value
  const rounded = Number(readLong(cursor.bytes.subarray(start, cursor.position)))
  if (Math.abs(rounded) > largestNumber) throw refuse(cursor, 'a long is beyond 2^53')
  return rounded
}

/** What `toString` calls, without its look at the arguments. */
type Sliceable = Buffer & {
  utf8Slice(start: number, end: number): string
}

function stringRead(short: readonly TextOf[]): (cursor: Cursor) => string {
  return cursor => {
    const size = length(cursor)
    const { bytes, position } = cursor
    const end = position + size
    cursor.position = end
    const ascii = size < short.length ? short[size]!(bytes, position) : undefined
    if (ascii !== undefined) return ascii
    const decoded = (bytes as Sliceable).utf8Slice(position, end)
    // What is not UTF-8 shows as this character, which may also be there by right.
    if (decoded.includes('\uFFFD') && !isUtf8(bytes.subarray(position, end)))
      throw refuse(cursor, 'a string is not UTF-8')
    return decoded
  }
}

function record(type: RecordType, context: Context): Read {
  const reads: Read[] = []
  const tooDeep = (cursor: Cursor): StreamError => refuse(cursor, `values are nested deeper than ${depthLimit}`)
  // A literal gives all values of the record one shape, and is made from text as those of the package are. Names are letters,
  // digits and _.
  const fields = type.fields.map(({ name }, index) => `"${name}": read${index}(cursor)`).join(', ')
  const names = type.fields.map((_, index) => `read${index} = reads[${index}]`).join(', ')
  const build = new Function(
    'reads',
    'tooDeep',
    `${names && `const ${names}`}
    return cursor => {
      if (++cursor.depth > ${depthLimit}) throw tooDeep(cursor)
      const value = { ${fields} }
      cursor.depth--
      return value
    }`
  ) as (reads: readonly Read[], tooDeep: (cursor: Cursor) => StreamError) => Read
  // Known before its fields are walked, which may refer to it.
  let made: Read | undefined
  context.known.set(type, cursor => made!(cursor))
  for (const field of type.fields) reads.push(readOf(field.type, context))
  made = build(reads, tooDeep)
  context.known.set(type, made)
  return made
}

function union(type: UnionType, context: Context): Read {
  const wrapped = isWrapped(type.branches, context.longs)
  const reads = type.branches.map((branch): Read => {
    const read = readOf(branch, context)
    if (!wrapped || branch.kind === 'null') return read
    const name = branchName(branch)
    return cursor => ({ [name]: read(cursor) })
  })
  return cursor => {
    const read = reads[whole(cursor)]
    if (!read) throw refuse(cursor, 'a union has no such branch')
    return read(cursor)
  }
}

function array(type: AvroType, context: Context): Read {
  const read = readOf(type, context)
  const itemSize = smallest(type)
  const items = (cursor: Cursor, count: number, list: unknown[]): void => {
    assertRoom(cursor, count, itemSize)
    for (let index = 0; index < count; index++) list.push(read(cursor))
  }
  return cursor => eachBlock(cursor, items, [])
}

function map(type: AvroType, context: Context): Read {
  const read = readOf(type, context)
  const { string } = context
  const itemSize = 1 + smallest(type)
  const items = (cursor: Cursor, count: number, entries: Record<string, unknown>): void => {
    assertRoom(cursor, count, itemSize)
    for (let index = 0; index < count; index++) {
      const key = string(cursor)
      if (key === forbiddenKey) throw refuse(cursor, `a map may not hold the key ${forbiddenKey}`)
      entries[key] = read(cursor)
    }
  }
  return cursor => eachBlock(cursor, items, {})
}
