/**
 * CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), the checksum of a Kafka record batch. Eight bytes per step
 * (slicing-by-8): a batch is checksummed at every write and read, and byte by byte that would cost more than encoding it.
 * `node:zlib` only has the other CRC-32.
 */
export function crc32c(bytes: Uint8Array, from = 0, to: number = bytes.length): number {
  let crc = -1
  let at = from
  for (const end = to - 7; at < end; at += 8) {
    const low = crc ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24))
    crc =
      table[0x700 | (low & 0xff)]! ^
      table[0x600 | ((low >>> 8) & 0xff)]! ^
      table[0x500 | ((low >>> 16) & 0xff)]! ^
      table[0x400 | (low >>> 24)]! ^
      table[0x300 | bytes[at + 4]!]! ^
      table[0x200 | bytes[at + 5]!]! ^
      table[0x100 | bytes[at + 6]!]! ^
      table[bytes[at + 7]!]!
  }
  for (; at < to; at++) crc = table[(crc ^ bytes[at]!) & 0xff]! ^ (crc >>> 8)
  return ~crc >>> 0
}

const table = makeTable()

function makeTable(): Int32Array {
  const slices = new Int32Array(8 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
    slices[byte] = crc
  }
  for (let index = 256; index < slices.length; index++) {
    const before = slices[index - 256]!
    slices[index] = (before >>> 8) ^ slices[before & 0xff]!
  }
  return slices
}
