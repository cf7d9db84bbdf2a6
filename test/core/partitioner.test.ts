import { createRequire } from 'node:module'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { murmur2, partitionOf } from '../../src/core/partitioner.ts'

// Vectors of org.apache.kafka.common.utils.UtilsTest#testMurmur2.
const vectors: readonly (readonly [string, number])[] = [
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107]
]

interface Kafkajs {
  readonly Partitioners: {
    DefaultPartitioner(): (of: {
      readonly topic: string
      readonly partitionMetadata: readonly { readonly partitionId: number; readonly leader: number }[]
      readonly message: { readonly key: Buffer }
    }) => number
  }
}

const { Partitioners } = createRequire(import.meta.url)('kafkajs') as Kafkajs

describe('the partition of a key', () => {
  it.each(vectors)('murmur2 of %s is what the Java client computes', (text, hash) => {
    expect(murmur2(Buffer.from(text))).toBe(hash)
  })

  it('is the one that kafkajs chooses in its Java-compatible mode', () => {
    const choose = Partitioners.DefaultPartitioner()
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 300 }), (bytes, partitions) => {
        const partitionMetadata = Array.from({ length: partitions }, (_, partitionId) => ({ partitionId, leader: 0 }))
        const message = { key: Buffer.from(bytes) }
        expect(partitionOf(bytes, partitions)).toBe(choose({ topic: 'topic', partitionMetadata, message }))
      }),
      { numRuns: 500 }
    )
  })

  it('hashes all bytes, also those that are no text', () => {
    const hashes = new Set(Array.from({ length: 256 }, (_, byte) => murmur2(new Uint8Array([byte, 0xff, byte]))))
    expect(hashes.size).toBe(256)
  })
})
