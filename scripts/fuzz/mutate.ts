/** Numbers from 0 to 1 that a seed repeats (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export type Random = () => number

export const below = (random: Random, limit: number): number => Math.floor(random() * limit)
export const pick = <Item>(random: Random, items: readonly Item[]): Item => items[below(random, items.length)]!

/** What a length prefix or a count may say: each is a zigzag varint or a plain one, whichever the format takes it for. */
const evil: readonly string[] = [
  '8080808010', // 2 GiB
  'feffffff0f', // 2 GiB - 1
  'ffffffff0f', // 4 GiB - 1, or -2 GiB
  'ffffffffffffffffff01', // the least or the largest of 64 bits
  'ffffffffffffffffffff', // eleven bytes and more
  '8080808080808080808080',
  '01', // a count of -1: the size of the block follows
  '0180808080808010',
  '7fffffff',
  '80808080f00f' // 2^40 items
]

type Mutation = (bytes: Buffer, random: Random, others: readonly Buffer[]) => Buffer

const splice = (bytes: Buffer, start: number, removed: number, added: Buffer): Buffer =>
  Buffer.concat([bytes.subarray(0, start), added, bytes.subarray(start + removed)])

/** Ways to spoil a payload, by name. */
export const mutations: Readonly<Record<string, Mutation>> = {
  truncate: (bytes, random) => bytes.subarray(0, below(random, bytes.length + 1)),
  'flip bits': (bytes, random) => {
    const copy = Buffer.from(bytes)
    for (let count = 1 + below(random, 4); count > 0 && copy.length > 0; count--)
      copy[below(random, copy.length)]! ^= 1 << below(random, 8)
    return copy
  },
  'other bytes': (bytes, random) => {
    const copy = Buffer.from(bytes)
    for (let count = 1 + below(random, 8); count > 0 && copy.length > 0; count--)
      copy[below(random, copy.length)] = below(random, 256)
    return copy
  },
  insert: (bytes, random) =>
    splice(
      bytes,
      below(random, bytes.length + 1),
      0,
      Buffer.from(Array.from({ length: 1 + below(random, 6) }, () => below(random, 256)))
    ),
  remove: (bytes, random) => splice(bytes, below(random, bytes.length + 1), 1 + below(random, 6), Buffer.alloc(0)),
  trailing: bytes => Buffer.concat([bytes, Buffer.from('00')]),
  'wrong magic': (bytes, random) => splice(bytes, 0, 1, Buffer.from([1 + below(random, 255)])),
  'unknown id': (bytes, random) => splice(bytes, 1, 4, Buffer.from([0, 1, below(random, 256), below(random, 256)])),
  'id of another': (bytes, random) => splice(bytes, 1, 4, Buffer.from([0, 0, 0, below(random, 10)])),
  'evil length': (bytes, random) => {
    const start = Math.min(bytes.length, 5 + below(random, Math.max(1, bytes.length - 5)))
    return splice(bytes, start, below(random, 3), Buffer.from(pick(random, evil), 'hex'))
  },
  'half of another': (bytes, random, others) => {
    const other = pick(random, others)
    return Buffer.concat([
      bytes.subarray(0, below(random, bytes.length + 1)),
      other.subarray(below(random, other.length + 1))
    ])
  },
  'a part again and again': (bytes, random) => {
    const start = below(random, bytes.length)
    const part = bytes.subarray(start, start + 1 + below(random, 8))
    const times = Math.ceil(2 ** (1 + random() * 11) / Math.max(1, part.length))
    return splice(bytes, start, 0, Buffer.concat(Array.from({ length: times }, () => part)))
  },
  'a byte a thousand times': (bytes, random) =>
    splice(
      bytes,
      Math.min(5, bytes.length),
      bytes.length,
      Buffer.alloc(1 + below(random, 4_000), pick(random, [0, 1, 2, 3, 0x12, 0x42, 0x5b, 0x7b, 0x80, 0xff]))
    ),
  'all random': (_, random) => Buffer.from(Array.from({ length: below(random, 64) }, () => below(random, 256))),
  'whole again': bytes => bytes
}
