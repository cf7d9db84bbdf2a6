import { isUtf8 } from 'node:buffer'
import { StreamError } from '../../core/errors.ts'
import type { AvroType, RecordType, UnionType } from './model.ts'

/**
 * Proves that bytes are one value of a schema before anything is built from them, in time linear in their length. The
 * decoder trusts what it reads: seven bytes can make it loop for hours (a negative block size that it follows
 * backwards) or fill the memory (an array of 2^50 nulls). What has passed here can do neither.
 */
export type Proof = (bytes: Buffer, start: number) => void

/** Nesting of values of a recursive schema beyond this is refused: it is the stack that it would fill. */
export const depthLimit = 500

/**
 * Items that take no bytes (nulls, empty records) have no length to check against: so many of them per value, no more.
 */
export const emptyItemsLimit = 65_536

export interface Cursor {
  bytes: Buffer
  position: number
  end: number
  depth: number
  emptyItems: number
  /** The field last entered, for the message. */
  field: string
}

type Step = (cursor: Cursor) => void

export function proofOf(type: AvroType): Proof {
  const step = stepOf(type, new Map())
  const cursor: Cursor = { bytes: Buffer.alloc(0), position: 0, end: 0, depth: 0, emptyItems: 0, field: '' }
  const nothing = cursor.bytes
  return (bytes, start) => {
    cursor.bytes = bytes
    cursor.position = start
    cursor.end = bytes.length
    cursor.depth = 0
    cursor.emptyItems = emptyItemsLimit
    cursor.field = ''
    try {
      step(cursor)
    } finally {
      cursor.bytes = nothing
    }
    if (cursor.position !== cursor.end)
      throw refuse(cursor, `${cursor.end - cursor.position} bytes follow the end of the value`)
  }
}

function stepOf(type: AvroType, known: Map<AvroType, Step>): Step {
  const found = known.get(type)
  if (found) return found
  switch (type.kind) {
    case 'null':
      return () => {}
    case 'boolean':
      return cursor => {
        need(cursor, 1)
        if (cursor.bytes[cursor.position++]! > 1) throw refuse(cursor, 'a boolean is neither 0 nor 1')
      }
    case 'int':
      return int
    case 'long':
      return long
    case 'float':
      return skip(4)
    case 'double':
      return skip(8)
    case 'bytes':
      return cursor => {
        const size = length(cursor)
        cursor.position += size
      }
    case 'string':
      return string
    case 'fixed':
      return skip(type.size)
    case 'enum': {
      const count = type.symbols.length
      return cursor => {
        const index = whole(cursor)
        if (index < 0 || index >= count) throw refuse(cursor, `${type.name} has no symbol ${index}`)
      }
    }
    case 'union':
      return union(type, known)
    case 'array':
      return blocks(
        stepOf(type.items, known),
        smallest(type.items),
        smallest(type.items) === 0 ? weight(type.items) : 1
      )
    case 'map':
      return map(stepOf(type.values, known), smallest(type.values))
    case 'record':
      return record(type, known)
  }
}

function record(type: RecordType, known: Map<AvroType, Step>): Step {
  const steps: Step[] = []
  const names = type.fields.map(field => `${type.name}.${field.name}`)
  const step: Step = cursor => {
    if (++cursor.depth > depthLimit) throw refuse(cursor, `values are nested deeper than ${depthLimit}`)
    for (let index = 0; index < steps.length; index++) {
      cursor.field = names[index]!
      steps[index]!(cursor)
    }
    cursor.depth--
  }
  // Known before its fields are walked: they may refer to it.
  known.set(type, step)
  for (const field of type.fields) steps.push(stepOf(field.type, known))
  return step
}

function union(type: UnionType, known: Map<AvroType, Step>): Step {
  const steps = type.branches.map(branch => stepOf(branch, known))
  return cursor => {
    const index = whole(cursor)
    const step = steps[index]
    if (!step) throw refuse(cursor, `a union of ${steps.length} branches has no branch ${index}`)
    step(cursor)
  }
}

/**
 * Arrays and maps: blocks of a count and so many items; a negative count is followed by the size of the block in bytes.
 *
 * @param items goes over so many items
 * @param target what they fill; it is returned. Nothing is made for a call, so that `items` stays one function for a type.
 */
export function eachBlock<Target>(
  cursor: Cursor,
  items: (cursor: Cursor, count: number, target: Target) => void,
  target: Target
): Target {
  if (++cursor.depth > depthLimit) throw refuse(cursor, `values are nested deeper than ${depthLimit}`)
  for (;;) {
    let count = whole(cursor)
    if (count === 0) break
    let blockEnd = -1
    if (count < 0) {
      count = -count
      const size = length(cursor)
      blockEnd = cursor.position + size
    }
    items(cursor, count, target)
    if (blockEnd !== -1 && blockEnd !== cursor.position)
      throw refuse(cursor, 'the size of a block is not what its items take')
  }
  cursor.depth--
  return target
}

/** Refuses a block that announces more items than there can be. */
export function assertRoom(cursor: Cursor, count: number, itemSize: number): void {
  if (count * itemSize > cursor.end - cursor.position)
    throw refuse(cursor, `a block announces ${count} items, the bytes end before`)
}

function blocks(item: Step, itemSize: number, itemWeight = 1): Step {
  const items = (cursor: Cursor, count: number): void => {
    if (itemSize === 0) {
      // The item is empty whatever its schema: nothing to walk.
      cursor.emptyItems -= count * itemWeight
      if (cursor.emptyItems < 0) throw refuse(cursor, `more than ${emptyItemsLimit} items without a byte`)
    } else {
      assertRoom(cursor, count, itemSize)
      for (let index = 0; index < count; index++) item(cursor)
    }
  }
  return cursor => eachBlock(cursor, items, undefined)
}

export const forbiddenKey: string = '__proto__'

function map(value: Step, valueSize: number): Step {
  return blocks(cursor => {
    const start = cursor.position
    string(cursor)
    // A plain object cannot hold it: the assignment would set its prototype.
    if (cursor.bytes[cursor.position - 1] === 0x5f && cursor.position - start === forbiddenKey.length + 1)
      if (cursor.bytes.toString('latin1', start + 1, cursor.position) === forbiddenKey)
        throw refuse(cursor, 'a map may not hold the key __proto__')
    value(cursor)
  }, 1 + valueSize)
}

function string(cursor: Cursor): void {
  const size = length(cursor)
  const { bytes, position } = cursor
  const end = position + size
  cursor.position = end
  // Most strings are short and ASCII; a call out of JavaScript costs more than looking at them.
  let index = position
  if (size <= 48) while (index < end && bytes[index]! < 0x80) index++
  if (index < end && !isUtf8(bytes.subarray(index, end))) throw refuse(cursor, 'a string is not UTF-8')
}

function skip(size: number): Step {
  return cursor => {
    need(cursor, size)
    cursor.position += size
  }
}

function int(cursor: Cursor): void {
  const value = whole(cursor)
  if (value !== (value | 0)) throw refuse(cursor, 'an int does not fit 32 bits')
}

export function long(cursor: Cursor): void {
  const { bytes } = cursor
  const start = cursor.position
  let position = start
  while (bytes[position]! >= 0x80) position++
  if (++position > cursor.end) throw refuse(cursor, 'the bytes end inside a number')
  const size = position - start
  if (size > 10 || (size === 10 && bytes[position - 1]! > 1)) throw refuse(cursor, 'a long does not fit 64 bits')
  cursor.position = position
}

/** A length: zero or more, and no more than what is left. */
export function length(cursor: Cursor): number {
  const value = whole(cursor)
  if (value < 0) throw refuse(cursor, 'a length is negative')
  if (value > cursor.end - cursor.position)
    throw refuse(cursor, `a length of ${value} bytes, only ${cursor.end - cursor.position} are left`)
  return value
}

/** A zigzag varint. Beyond 2^53 it is rounded, which no caller minds: it is far out of range for all of them. */
export function whole(cursor: Cursor): number {
  const { bytes } = cursor
  const first = bytes[cursor.position]
  if (first === undefined) throw refuse(cursor, 'the bytes end before the value does')
  if (first < 0x80) {
    cursor.position++
    return (first >>> 1) ^ -(first & 1)
  }
  const start = cursor.position
  long(cursor)
  let unsigned = 0
  for (let position = cursor.position - 1; position >= start; position--)
    unsigned = unsigned * 128 + (bytes[position]! & 0x7f)
  return first & 1 ? -(unsigned + 1) / 2 : unsigned / 2
}

export function need(cursor: Cursor, size: number): void {
  if (size > cursor.end - cursor.position) throw refuse(cursor, 'the bytes end before the value does')
}

/** The fewest bytes a value of the type takes. */
export function smallest(type: AvroType): number {
  switch (type.kind) {
    case 'null':
      return 0
    case 'float':
      return 4
    case 'double':
      return 8
    case 'fixed':
      return type.size
    case 'record': {
      // No record holds itself but through a union, an array or a map, where this does not look: it ends.
      let size = sizes.get(type)
      if (size === undefined)
        sizes.set(type, (size = type.fields.reduce((sum, field) => sum + smallest(field.type), 0)))
      return size
    }
    default:
      return 1
  }
}
const sizes = new WeakMap<RecordType, number>()

/** How much a decoder builds for an item of the type that takes no bytes. */
export function weight(type: AvroType): number {
  return type.kind === 'record' ? type.fields.reduce((sum, field) => sum + weight(field.type), 1) : 1
}

export function refuse(cursor: Cursor, message: string): StreamError {
  return new StreamError(
    'bad-record',
    `not a value of the schema: ${message}${cursor.field === '' ? '' : ` (near ${cursor.field})`}, byte ${cursor.position}`
  )
}
