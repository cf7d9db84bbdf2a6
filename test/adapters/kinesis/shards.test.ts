import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ListedShard } from '../../../src/adapters/kinesis/client.ts'
import { centreOf, hashKeys, hashOf, partitionOfHash } from '../../../src/adapters/kinesis/hash-keys.ts'
import { comparePositions, type Frontier, frontierOf, positionOf } from '../../../src/adapters/kinesis/positions.ts'
import { advance, readable, type Shard, shardOf, shardsOf } from '../../../src/adapters/kinesis/shards.ts'

/** Shards as a stream has them after any number of splits and merges. */
class World {
  readonly listed: ListedShard[] = []
  #next = 0

  constructor(count: number) {
    const size = hashKeys / BigInt(count)
    for (let index = 0; index < count; index++) {
      const start = BigInt(index) * size
      this.#add(start, index === count - 1 ? hashKeys - 1n : start + size - 1n, [])
    }
  }

  get open(): ListedShard[] {
    return this.listed
      .filter(({ SequenceNumberRange }) => SequenceNumberRange.EndingSequenceNumber === undefined)
      .sort((left, right) => (rangeOf(left)[0] < rangeOf(right)[0] ? -1 : 1))
  }

  split(place: number, at?: bigint): void {
    const shard = this.open[place % this.open.length]!
    const [start, end] = rangeOf(shard)
    const middle = at ?? (start + end + 1n) / 2n
    if (end - start < 4n) return
    this.#close(shard)
    this.#add(start, middle - 1n, [shard.ShardId])
    this.#add(middle, end, [shard.ShardId])
  }

  merge(place: number): void {
    const { open } = this
    if (open.length < 2) return
    const at = place % (open.length - 1)
    const [left, right] = [open[at]!, open[at + 1]!]
    this.#close(left)
    this.#close(right)
    this.#add(rangeOf(left)[0], rangeOf(right)[1], [left.ShardId, right.ShardId])
  }

  shards(partitions: number): Shard[] {
    return this.listed.map(listed => shardOf(listed, partitions))
  }

  #close(shard: ListedShard): void {
    const at = this.listed.indexOf(shard)
    const range = { StartingSequenceNumber: '1', EndingSequenceNumber: '2' }
    this.listed[at] = { ...shard, SequenceNumberRange: range }
  }

  #add(start: bigint, end: bigint, [ParentShardId, AdjacentParentShardId]: string[]): void {
    this.listed.push({
      ShardId: `shardId-${String(this.#next++).padStart(12, '0')}`,
      HashKeyRange: { StartingHashKey: String(start), EndingHashKey: String(end) },
      SequenceNumberRange: { StartingSequenceNumber: '1' },
      ...(ParentShardId !== undefined && { ParentShardId }),
      ...(AdjacentParentShardId !== undefined && { AdjacentParentShardId })
    })
  }
}

const rangeOf = ({ HashKeyRange }: ListedShard): [bigint, bigint] => [
  BigInt(HashKeyRange.StartingHashKey),
  BigInt(HashKeyRange.EndingHashKey)
]

const numbersOf = (found: readonly { readonly shard: Shard }[]): number[] => found.map(({ shard }) => shard.number)

describe('hash keys', () => {
  it('are cut into partitions as Kinesis cuts a new stream into shards', () => {
    expect(partitionOfHash(0n, 3)).toBe(0)
    expect(partitionOfHash(113427455640312821154458202477256070484n, 3)).toBe(0)
    expect(partitionOfHash(113427455640312821154458202477256070485n, 3)).toBe(1)
    expect(partitionOfHash(226854911280625642308916404954512140970n, 3)).toBe(2)
    expect(partitionOfHash(hashKeys - 1n, 3)).toBe(2)
    expect(partitionOfHash(hashKeys - 1n, 1)).toBe(0)
  })

  it('of the middle of a partition are in it, for any count', () => {
    for (const partitions of [1, 2, 3, 5, 7, 64, 100, 1000, 4096])
      for (let partition = 0; partition < partitions; partition++)
        expect(partitionOfHash(centreOf(partition, partitions), partitions)).toBe(partition)
  })

  it('of a text are its MD5', () => {
    expect(hashOf('a')).toBe(0x0cc175b9c0f1b6a831c399e269772661n)
  })
})

describe('shards', () => {
  const change = fc.record({ kind: fc.constantFrom('split' as const, 'merge' as const), place: fc.nat(20) })
  const worlds = fc.record({
    partitions: fc.integer({ min: 1, max: 9 }),
    shards: fc.integer({ min: 1, max: 9 }),
    changes: fc.array(change, { maxLength: 8 })
  })

  it('hold a partition without a gap: its middle is in one open shard at any time', () => {
    fc.assert(
      fc.property(worlds, ({ partitions, shards, changes }) => {
        const world = new World(shards)
        for (const { kind, place } of changes) world[kind](place)
        for (let partition = 0; partition < partitions; partition++) {
          const centre = centreOf(partition, partitions)
          const found = shardsOf(partition, world.shards(partitions)).filter(
            ({ open, start, end }) => open && start <= centre && centre <= end
          )
          expect(found).toHaveLength(1)
        }
      })
    )
  })

  it('of as many as there are partitions are one each, though the bounds are rounded', () => {
    for (const count of [1, 2, 3, 5, 6, 7, 9, 11, 100])
      for (const { first, last, number } of new World(count).shards(count))
        expect([first, last]).toEqual([number, number])
  })

  it('are read parents before children, each once, from any place where a reader was stopped', () => {
    fc.assert(
      fc.property(worlds, fc.infiniteStream(fc.nat(1000)), ({ partitions, shards, changes }, choices) => {
        const world = new World(shards)
        for (const { kind, place } of changes) world[kind](place)
        const all = world.shards(partitions)
        const partition = choices.next().value % partitions
        const relevant = shardsOf(partition, all)
        // Every shard has two records, or none.
        const records = new Map(relevant.map(({ number }) => [number, choices.next().value % 3 === 0 ? 0 : 2]))
        const read: string[] = []
        let frontier: Frontier = new Map()
        let finished = new Set<number>()
        for (let steps = 0; ; steps++) {
          expect(steps).toBeLessThan(5000)
          // A reader that is stopped and started again knows its last position and nothing else.
          if (choices.next().value % 25 === 0 && read.length > 0) {
            const [last] = [...frontier.keys()]
            const progress = frontier.get(last!)!
            if ('sequence' in progress) frontier = frontierOf(positionOf(last!, progress.sequence, 0, frontier))!
            finished = new Set()
          }
          const open = readable(partition, all, frontier, finished)
          if (open.length === 0) break
          const { shard, progress } = open[choices.next().value % open.length]!
          const done = progress && 'sequence' in progress ? Number(progress.sequence) : 0
          if (done === records.get(shard.number)) {
            finished.add(shard.number)
            continue
          }
          for (const parent of shard.parents)
            if (records.has(parent))
              expect(read.filter(each => each.startsWith(`${parent}:`))).toHaveLength(records.get(parent)!)
          read.push(`${shard.number}:${done + 1}`)
          advance(frontier, shard, { sequence: String(done + 1), sub: 0 }, all)
        }
        const expected = relevant.flatMap(({ number }) =>
          Array.from({ length: records.get(number)! }, (_, index) => `${number}:${index + 1}`)
        )
        expect(read.toSorted()).toEqual(expected.toSorted())
      }),
      { numRuns: 300 }
    )
  })

  it('that have left the retention are no obstacle: their children are read from their start', () => {
    const world = new World(1)
    world.split(0)
    world.merge(0)
    const all = world.shards(1).filter(({ number }) => number === 3)
    const frontier: Frontier = new Map([[0, { sequence: '7', sub: 0 }]])
    expect(readable(0, all, frontier, new Set())).toEqual([{ shard: all[0], progress: undefined }])
  })

  it('of a split wait for their parent', () => {
    const world = new World(1)
    world.split(0)
    const all = world.shards(1)
    expect(numbersOf(readable(0, all, new Map(), new Set()))).toEqual([0])
    expect(numbersOf(readable(0, all, new Map(), new Set([0])))).toEqual([1, 2])
    const half: Frontier = new Map([[1, { sequence: '9', sub: 0 }]])
    expect(numbersOf(readable(0, all, half, new Set()))).toEqual([1, 2])
  })
})

describe('positions', () => {
  it('are compared by shard, sequence and place in the aggregate', () => {
    const ascending = ['0:9:0', '0:10:0', '0:10:1', '0:10:11', '2:3:0', '12:1:0']
    for (const [left, one] of ascending.entries())
      for (const [right, other] of ascending.entries())
        expect(Math.sign(comparePositions(one, other))).toBe(Math.sign(left - right))
  })

  it('of several shards name them all, the one that moved first', () => {
    const frontier: Frontier = new Map([
      [3, { sequence: '7', sub: 1 }],
      [4, { time: 1_700_000_000_000 }]
    ])
    const position = positionOf(3, '8', 0, frontier.set(3, { sequence: '8', sub: 0 }))
    expect(position).toBe('3:8:0,4:@1700000000000')
    expect(frontierOf(position)).toEqual(frontier)
    expect(comparePositions(position, '3:7:5,4:@1700000000000')).toBeGreaterThan(0)
    expect(comparePositions(position, '4:1:0,3:8:0')).toBeLessThan(0)
  })

  it('that are none are told', () => {
    for (const text of ['', '5', 'x:1:2', '1:2', '1:2:3,', '1:2:3 ']) expect(frontierOf(text)).toBeUndefined()
  })
})
