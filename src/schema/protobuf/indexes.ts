import { StreamError } from '../../core/errors.ts'

// Which message of a file a payload is: the places from the outermost message to it, each a zigzag varint behind their
// count; a single zero stands for the first message. Source: Confluent, "Wire format", message indexes.

/** Messages nest no deeper. */
const limit = 32

export function writeIndexes(indexes: readonly number[]): Buffer {
  if (indexes.length === 1 && indexes[0] === 0) return Buffer.from([0])
  return Buffer.from([indexes.length, ...indexes].flatMap(value => unsignedVarint(value * 2)))
}

export function unsignedVarint(value: number): number[] {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80)
  return [...bytes, rest]
}

/** Of at most four bytes. Throws `bad-record`. */
export function readVarint(bytes: Buffer, start: number): { readonly value: number; readonly end: number } {
  let position = start
  let value = 0
  for (let factor = 1; factor <= 128 ** 3; factor *= 128) {
    const byte = bytes[position++]
    if (byte === undefined) throw new StreamError('bad-record', 'the bytes end inside the message indexes')
    value += (byte & 0x7f) * factor
    if (byte < 0x80) return { value, end: position }
  }
  throw new StreamError('bad-record', 'a message index is out of range')
}

/** Throws `bad-record`. */
export function readIndexes(
  bytes: Buffer,
  start: number
): { readonly indexes: readonly number[]; readonly end: number } {
  let position = start
  const next = (): number => {
    const { value, end } = readVarint(bytes, position)
    position = end
    if (value % 2 === 1) throw new StreamError('bad-record', 'a message index is negative')
    return value / 2
  }
  const count = next()
  if (count === 0) return { indexes: first, end: position }
  if (count > limit) throw new StreamError('bad-record', `${count} message indexes, at most ${limit} are possible`)
  const indexes = Array.from({ length: count }, next)
  return { indexes, end: position }
}
const first: readonly number[] = [0]
