import { createHash } from 'node:crypto'

/** Kinesis spreads hash keys of 128 bits over the shards; tidemark cuts the same space into the partitions of a topic. */
export const hashKeys: bigint = 1n << 128n

/**
 * Shards of one stream may miss the bounds of partitions by a few keys, because numbers are rounded. Less than this, out of
 * 2^128, is no overlap.
 */
const sliver = 1n << 64n

export interface HashRange {
  /** Both inclusive. */
  readonly start: bigint
  readonly end: bigint
}

/**
 * The hash key of everything that tidemark writes to a partition: the middle of its range. A point is in one shard at any
 * time, and no split can part it (protocol, 2.2).
 */
export function centreOf(partition: number, partitions: number): bigint {
  return ((2n * BigInt(partition) + 1n) * hashKeys) / (2n * BigInt(partitions))
}

/** The partition whose range has this hash key. */
export function partitionOfHash(hash: bigint, partitions: number): number {
  // The first key of partition i is floor(i * 2^128 / partitions), as Kinesis cuts a new stream into shards.
  return Number(((hash + 1n) * BigInt(partitions) - 1n) / hashKeys)
}

/** The hash of a partition key that came without a hash key of its own. */
export function hashOf(partitionKey: string): bigint {
  return BigInt(`0x${createHash('md5').update(partitionKey).digest('hex')}`)
}

/** The partitions, first and last, whose records may be in this range of a shard. */
export function partitionsIn({ start, end }: HashRange, partitions: number): readonly [first: number, last: number] {
  if (end - start <= 2n * sliver) {
    const middle = partitionOfHash((start + end) / 2n, partitions)
    return [middle, middle]
  }
  return [partitionOfHash(start + sliver, partitions), partitionOfHash(end - sliver, partitions)]
}
