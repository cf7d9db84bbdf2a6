/**
 * Arrays as parameters in the binary form of PostgreSQL: half the bytes of the text form, and nothing to parse. Big endian:
 * dimensions, nulls, type of the elements, then their count and the first index, then each as i32 length + bytes.
 */
const types = { bytea: 17, text: 25 } as const
const header = 20

export function byteaArray(items: readonly Uint8Array[]): Buffer {
  const array = started(
    types.bytea,
    items.length,
    items.reduce((size, item) => size + item.byteLength, 0)
  )
  let at = header
  for (const item of items) {
    at = array.writeInt32BE(item.byteLength, at)
    array.set(item, at)
    at += item.byteLength
  }
  return array
}

/** One byte per character. */
export function latin1Array(items: readonly string[]): Buffer {
  const array = started(
    types.bytea,
    items.length,
    items.reduce((size, item) => size + item.length, 0)
  )
  let at = header
  for (const item of items) {
    at = array.writeInt32BE(item.length, at)
    at += array.write(item, at, 'latin1')
  }
  return array
}

export function textArray(items: readonly string[]): Buffer {
  const array = started(
    types.text,
    items.length,
    items.reduce((size, item) => size + Buffer.byteLength(item), 0)
  )
  let at = header
  for (const item of items) {
    const length = array.write(item, at + 4, 'utf8')
    array.writeInt32BE(length, at)
    at += 4 + length
  }
  return array
}

function started(type: number, count: number, bytes: number): Buffer {
  const array = Buffer.allocUnsafe(header + 4 * count + bytes)
  array.writeInt32BE(1, 0)
  array.writeInt32BE(0, 4)
  array.writeInt32BE(type, 8)
  array.writeInt32BE(count, 12)
  array.writeInt32BE(1, 16)
  return array
}
