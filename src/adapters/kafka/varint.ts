/**
 * The zigzag varints of Kafka's record format, for whole numbers of up to 52 bits. Shifts stop at 32 bits, so large
 * values take the slow path by division.
 */

/** Where a decoder stands: one object per decoder instead of a pair of results per number. */
export interface Cursor {
  at: number
}

export function sizeOfVarint(value: number): number {
  let rest = value >= 0 ? value * 2 : value * -2 - 1
  let size = 1
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++
  return size
}

/** Writes `value` and returns the place after it. */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  let rest = value >= 0 ? value * 2 : value * -2 - 1
  for (; rest >= 0x8000_0000; rest = Math.floor(rest / 0x80)) bytes[at++] = (rest % 0x80) | 0x80
  for (; rest >= 0x80; rest >>>= 7) bytes[at++] = (rest & 0x7f) | 0x80
  bytes[at++] = rest
  return at
}

/** Reads the number at the cursor and moves it on; `NaN` when the bytes end inside. */
export function readVarint(bytes: Uint8Array, cursor: Cursor): number {
  let at = cursor.at
  let byte = bytes[at++]!
  let rest = byte & 0x7f
  for (let shift = 7; byte >= 0x80; shift += 7) {
    byte = bytes[at++]!
    if (shift < 28) rest |= (byte & 0x7f) << shift
    else rest += (byte & 0x7f) * 2 ** shift
  }
  cursor.at = at
  if (byte === undefined) return NaN
  return rest % 2 === 0 ? rest / 2 : -(rest + 1) / 2
}
