/** The feed of one shard against a shard of our own, in virtual time: readers that come, go, are slow, and every fault at random. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AggregateWriter } from '../../../src/adapters/kinesis/aggregate.ts'
import { Branch, type BranchListener } from '../../../src/adapters/kinesis/branch.ts'
import type { KinesisRecord } from '../../../src/adapters/kinesis/client.ts'
import type { Connection } from '../../../src/adapters/kinesis/connection.ts'
import type { Cursor } from '../../../src/adapters/kinesis/cursor.ts'
import type { FanOut } from '../../../src/adapters/kinesis/fan-out.ts'
import { hashKeys } from '../../../src/adapters/kinesis/hash-keys.ts'
import type { Progress } from '../../../src/adapters/kinesis/positions.ts'
import type { ShardRecord, Sorter } from '../../../src/adapters/kinesis/shard-batch.ts'
import { ShardFeed } from '../../../src/adapters/kinesis/shard-feed.ts'
import type { Shard } from '../../../src/adapters/kinesis/shards.ts'
import { abortedError, type Environment } from '../../../src/core/environment.ts'

const partitions = 3
const shard: Shard = {
  id: 'shardId-0',
  number: 0,
  start: 0n,
  end: hashKeys - 1n,
  parents: [],
  open: true,
  first: 0,
  last: partitions - 1
}

/** Time passes when nothing else happens. */
class Clock {
  #now = 0
  #timers: { at: number; task: () => void }[] = []

  environment(random: () => number): Environment {
    return {
      now: () => 1_700_000_000_000 + this.#now,
      monotonic: () => this.#now,
      random,
      timer: (delay, task) => {
        const timer = { at: this.#now + Math.max(0, delay), task }
        this.#timers.push(timer)
        return { cancel: () => void (this.#timers = this.#timers.filter(each => each !== timer)) }
      },
      turn: () => Promise.resolve()
    }
  }

  /** Lets everything run that can, then the next timer. False when there is none. */
  async step(): Promise<boolean> {
    await settled()
    const [next] = this.#timers.toSorted((left, right) => left.at - right.at)
    if (!next) return false
    this.#timers = this.#timers.filter(each => each !== next)
    this.#now = Math.max(this.#now, next.at)
    next.task()
    await settled()
    return true
  }
}

const settled = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** Records in an aggregate. */
const perAggregate = 3

/** A shard whose aggregates are numbered from 1: number i is of partition (i * 7) % 3. */
class Log {
  length = 0
  readonly #data = Array.from({ length: partitions }, (_, partition) => {
    const writer = new AggregateWriter('0', 0)
    for (let sub = 0; sub < perAggregate; sub++) writer.add(String(partition), Buffer.from('x'), [], 1e6)
    return writer.finish()
  })
  readonly sequenceOf = (index: number): string => String(10 ** 15 + index)
  readonly partitionOf = (index: number): number => (index * 7) % partitions

  records(from: number, count: number): KinesisRecord[] {
    return Array.from({ length: Math.max(0, Math.min(count, this.length - from)) }, (_, place) => {
      const index = from + place + 1
      return {
        SequenceNumber: this.sequenceOf(index),
        PartitionKey: 'a',
        Data: this.#data[this.partitionOf(index)]!,
        ApproximateArrivalTimestamp: new Date(1_700_000_000_000 + index)
      }
    })
  }

  /** How many records stand before the place. */
  before({
    ShardIteratorType,
    StartingSequenceNumber
  }: {
    ShardIteratorType: string
    StartingSequenceNumber?: string
  }): number {
    if (ShardIteratorType === 'TRIM_HORIZON') return 0
    const index = Number(StartingSequenceNumber) - 10 ** 15
    return ShardIteratorType === 'AT_SEQUENCE_NUMBER' ? index - 1 : index
  }
}

/** A reader of one partition, as the partition reader is one: goes on from what it has seen, whatever happens. */
class Reader implements BranchListener {
  readonly isTrusted = true
  readonly seen: number[] = []
  readonly #feed: ShardFeed
  readonly #partition: number
  readonly #most: number
  #queued = 0
  #after: Progress | undefined
  #branch: Branch | undefined

  constructor(feed: ShardFeed, partition: number, after: number, most: number) {
    this.#feed = feed
    this.#partition = partition
    this.#most = most
    if (after >= perAggregate)
      this.#after = { sequence: String(10 ** 15 + Math.floor(after / perAggregate)), sub: after % perAggregate }
  }

  get room(): number {
    return this.#most - this.#queued
  }

  get isReading(): boolean {
    return this.#branch !== undefined
  }

  join(): void {
    if (this.#branch) return
    this.#branch = new Branch(shard, this.#partition, this.#after, false, this)
    this.#feed.join(this.#branch, this.#branch.start(0))
  }

  leave(): void {
    if (this.#branch) this.#feed.leave(this.#branch)
    this.#branch = undefined
  }

  /** What is queued was taken. */
  drain(): void {
    this.#queued = 0
    this.#feed.roomy()
  }

  arrived(branch: Branch, records: readonly ShardRecord[], bytes: number): void {
    expect(branch).toBe(this.#branch)
    for (const { sequence, sub } of records) {
      this.seen.push((Number(sequence) - 10 ** 15) * perAggregate + sub)
      this.#after = { sequence, sub }
    }
    this.#queued += bytes
  }

  changed(): void {}

  ended(): void {
    throw new Error('the shard has no end')
  }

  failed(): void {
    this.#branch = undefined
  }
}

type Step =
  | { readonly kind: 'write'; readonly count: number }
  | { readonly kind: 'join' | 'leave' | 'drain'; readonly reader: number }
  | { readonly kind: 'time'; readonly steps: number }
  | { readonly kind: 'fault'; readonly name: string }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('write' as const), count: fc.integer({ min: 1, max: 12 }) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('join' as const), reader: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), reader: fc.nat(5) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('drain' as const), reader: fc.nat(5) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('time' as const), steps: fc.integer({ min: 1, max: 6 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('fault' as const),
      name: fc.constantFrom('ProvisionedThroughputExceededException', 'ExpiredIteratorException', 'InternalFailure')
    })
  }
)

const world = fc.record({
  readers: fc.array(
    fc.record({
      partition: fc.nat(partitions - 1),
      after: fc.integer({ min: 0, max: 20 * perAggregate }),
      most: fc.constantFrom(1, 500, 100_000)
    }),
    { minLength: 6, maxLength: 6 }
  ),
  written: fc.integer({ min: 20, max: 40 }),
  perLook: fc.integer({ min: 1, max: 30 }),
  pushing: fc.boolean(),
  steps: fc.array(step, { minLength: 5, maxLength: 60 }),
  dice: fc.infiniteStream(fc.nat(999))
})

describe('the feed of a shard', () => {
  it('gives every reader what it has not seen of its partition: all of it, once, in order', async () => {
    await fc.assert(
      fc.asyncProperty(world, async ({ readers: wanted, written, perLook, pushing, steps, dice }) => {
        const clock = new Clock()
        const environment = clock.environment(() => dice.next().value / 1000)
        const log = new Log()
        log.length = written
        const faults: string[] = []
        const refuse = (): void => {
          const name = faults.shift()
          if (name !== undefined) throw Object.assign(new Error(name), { name })
        }
        const connection = {
          environment,
          place: `model ${dice.next().value} ${Math.random()}`,
          async request(name: string, input: any, signal?: AbortSignal): Promise<any> {
            await new Promise<void>(resolve => environment.timer(dice.next().value % 40, resolve))
            if (signal?.aborted) throw abortedError(signal)
            refuse()
            if (name === 'GetShardIterator') return { ShardIterator: String(log.before(input)) }
            const from = Number(input.ShardIterator)
            const Records = log.records(from, Math.min(perLook, input.Limit))
            const next = from + Records.length
            return { Records, NextShardIterator: String(next), MillisBehindLatest: log.length - next }
          }
        }
        const fanOut = {
          connection,
          async subscribe(_stream: string, _shard: string, cursor: Cursor): Promise<AsyncIterable<object>> {
            refuse()
            let from = log.before(cursor.request())
            let events = dice.next().value % 8
            return (async function* () {
              while (events-- > 0) {
                await new Promise<void>(resolve => environment.timer(dice.next().value % 300, resolve))
                const Records = log.records(from, 1 + (dice.next().value % 10))
                from += Records.length
                yield { SubscribeToShardEvent: { Records, MillisBehindLatest: log.length - from } }
              }
            })()
          }
        }
        const sorter = { ofAggregated: (key: string) => Number(key) }
        const feed = new ShardFeed({
          connection: connection as unknown as Connection,
          stream: 'model',
          shard,
          sorter: sorter as unknown as Sorter,
          pollInterval: 100,
          fanOut: pushing ? (fanOut as unknown as FanOut) : undefined
        })
        const readers = wanted.map(({ partition, after, most }) => new Reader(feed, partition, after, most))
        for (const each of steps) {
          if (each.kind === 'write') log.length += each.count
          else if (each.kind === 'time') for (let count = 0; count < each.steps; count++) await clock.step()
          else if (each.kind === 'fault') faults.push(each.name)
          else readers[each.reader]![each.kind]()
        }
        // In the end everybody reads, and nothing fails any more.
        faults.length = 0
        const due = wanted.map(({ partition, after }) =>
          Array.from({ length: log.length * perAggregate }, (_, place) => place + perAggregate).filter(
            number =>
              (after < perAggregate || number > after) &&
              log.partitionOf(Math.floor(number / perAggregate)) === partition
          )
        )
        for (let rounds = 0; readers.some(({ seen }, place) => seen.length < due[place]!.length); rounds++) {
          expect(rounds, 'it came to a standstill').toBeLessThan(20_000)
          for (const reader of readers) {
            if (!reader.isReading) reader.join()
            reader.drain()
          }
          await clock.step()
        }
        for (let count = 0; count < 10; count++) await clock.step()
        expect(readers.map(({ seen }) => seen)).toEqual(due)
        for (const reader of readers) reader.leave()
        expect(feed.isIdle).toBe(true)
        const closing = feed.close()
        while (await clock.step());
        await closing
      }),
      { numRuns: 400 }
    )
  }, 120_000)
})
