import { abortedError, type Environment, type Timer } from '../../core/environment.ts'
import type { Position, RawRecord } from '../../core/record.ts'
import { Signal } from '../../core/signal.ts'
import type { PartitionReader, PartitionReaderOptions, ReceiveOptions } from '../../spec/log-reader.ts'
import { Branch, type BranchListener } from './branch.ts'
import type { FeedStart } from './cursor.ts'
import { closedError, kinesisError, noSuchPartition } from './errors.ts'
import type { Feeds, Subscription } from './feeds.ts'
import { type Frontier, frontierOf, positionOf } from './positions.ts'
import type { ShardRecord } from './shard-batch.ts'
import { advance, readable, type Shard, shardsOf } from './shards.ts'
import type { Streams } from './streams.ts'

export interface PartitionReaderContext {
  readonly streams: Streams
  readonly feeds: Feeds
}

/** How much longer than its wait a `receive` may take to find out whether it is at the end, ms. */
const overtime = 2_000
/** How long the children of a shard that has ended may take to be listed: asked again after this, ms. */
const again = 500

interface Waiting {
  readonly record: RawRecord
  readonly bytes: number
}

/**
 * Reads one partition: the shards that hold its range of hash keys, one after the other as they are split and merged, parents
 * before children. Nearly always that is one shard at a time.
 */
export class KinesisPartitionReader implements PartitionReader, BranchListener {
  /** It has been at the end: what is written from now on cannot have left the retention unread. */
  isTrusted = false
  readonly #context: PartitionReaderContext
  readonly #options: PartitionReaderOptions
  readonly #environment: Environment
  readonly #signal: Signal
  #partitions = 0
  #shards: readonly Shard[] = []
  /** How far everything that has arrived reaches. */
  #frontier: Frontier = new Map()
  readonly #finished = new Set<number>()
  readonly #branches = new Map<Branch, Subscription>()
  /** Records that came before this time are passed over, ms since the epoch. */
  #time: number | undefined
  #queue: Waiting[] = []
  #bytes = 0
  #attaching: Promise<void> | undefined
  #timer: Timer | undefined
  #failure: { readonly error: unknown } | undefined
  #closed = false

  constructor(options: PartitionReaderOptions, context: PartitionReaderContext) {
    this.#options = options
    this.#context = context
    this.#environment = context.streams.connection.environment
    this.#signal = new Signal(this.#environment)
  }

  /** Finds the place to begin. Rejects with `unknown-topic`, and with `position-lost` for what is no position. */
  async open(): Promise<this> {
    const { topic, partition, from } = this.#options
    const { streams } = this.#context
    this.#partitions = await streams.partitions(topic)
    if (partition >= this.#partitions) {
      streams.forget(topic)
      throw noSuchPartition(topic, partition, this.#partitions)
    }
    if (from === 'latest') return this.#openLatest()
    if (typeof from === 'object' && 'time' in from) this.#time = from.time
    if (typeof from === 'object' && 'after' in from) this.#frontier = this.#frontierOf(from.after)
    await this.#attach()
    return this
  }

  /** What comes from now on: the newest places are asked for at once. */
  async #openLatest(): Promise<this> {
    const { topic, partition } = this.#options
    const { streams } = this.#context
    this.#shards = await streams.shards(topic)
    const time = this.#environment.now()
    const open = shardsOf(partition, this.#shards).filter(shard => shard.open)
    await Promise.all(
      open.map(async shard => {
        const input = { StreamName: topic, ShardId: shard.id, ShardIteratorType: 'LATEST' }
        const { ShardIterator: iterator } = await streams.connection.request('GetShardIterator', input)
        this.#frontier.set(shard.number, { time })
        this.#begin(shard, undefined, false, { kind: 'latest', iterator, time })
      })
    )
    return this
  }

  #frontierOf(position: Position): Frontier {
    const frontier = frontierOf(position)
    if (frontier) return frontier
    throw kinesisError('position-lost', `'${position}' is no position in a stream of Kinesis`)
  }

  /** Ms that the last record which was read is behind the newest one of its shard; `undefined` before the first look. */
  get behindLatest(): number | undefined {
    let most: number | undefined
    for (const { behind } of this.#branches.keys()) if (behind !== undefined) most = Math.max(most ?? 0, behind)
    return most
  }

  get room(): number {
    return this.#options.maxBytes - this.#bytes
  }

  async receive({
    wait,
    signal
  }: ReceiveOptions): Promise<{ readonly records: readonly RawRecord[]; readonly atEnd: boolean }> {
    const started = this.#environment.monotonic()
    for (;;) {
      if (this.#closed) throw closedError()
      if (signal?.aborted) throw abortedError(signal)
      const left = started + wait - this.#environment.monotonic()
      const knowsEnd = this.#hasSeenEnd(started)
      // Who does not wait asks for the end: records that come meanwhile must not keep the next answer of the shards from it.
      const must = wait > 0 || this.#failure || this.room <= 0 || left <= -overtime
      if (this.#queue.length > 0 && (must || knowsEnd)) {
        const records = this.#take()
        return { records, atEnd: knowsEnd && this.#queue.length === 0 }
      }
      if (this.#failure) {
        const { error } = this.#failure
        this.#failure = undefined
        throw error
      }
      if (this.#branches.size === 0 && !this.#attaching && !this.#timer) this.#reattach()
      if ((left <= 0 && knowsEnd) || left <= -overtime) return { records: [], atEnd: knowsEnd }
      // The end of the shards is looked for anyway: the answer is on its way.
      await this.#signal.wait(left > 0 ? left : left + overtime, signal)
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.cancel()
    this.#detach()
    this.#queue = []
    this.#signal.raise()
    await this.#attaching?.catch(() => {})
    this.#detach()
  }

  arrived(branch: Branch, records: readonly ShardRecord[], bytes: number): void {
    if (this.#closed || this.#failure) return
    if (branch.suspect) return this.failed(this.#lost(branch, records[0]!))
    const { shard } = branch
    for (const { sequence, sub, arrived, content } of records) {
      advance(this.#frontier, shard, { sequence, sub }, this.#shards)
      const position = positionOf(shard.number, sequence, sub, this.#frontier)
      this.#queue.push({
        record: { position, ...content, timestamp: arrived },
        bytes: bytes / records.length
      })
    }
    this.#bytes += bytes
  }

  changed(): void {
    this.isTrusted ||= [...this.#branches.keys()].every(({ endSeenAt }) => endSeenAt > -Infinity)
    this.#signal.raise()
  }

  ended(branch: Branch): void {
    this.#leave(branch)
    this.#finished.add(branch.shard.number)
    this.#reattach(branch.suspect)
  }

  failed(error: unknown): void {
    this.#detach()
    if (this.#closed) return
    // What is queued is good: the next attempt begins behind it.
    this.#failure = { error }
    this.#signal.raise()
  }

  #hasSeenEnd(since: number): boolean {
    if (this.#branches.size === 0 || this.#attaching || this.#timer) return false
    for (const branch of this.#branches.keys()) if (branch.endSeenAt < since) return false
    return true
  }

  #take(): RawRecord[] {
    let bytes = 0
    let count = 0
    for (const waiting of this.#queue) {
      if (count > 0 && bytes + waiting.bytes > this.#options.maxBytes) break
      bytes += waiting.bytes
      count++
    }
    const taken = this.#queue.splice(0, count)
    const wasFull = this.room <= 0
    this.#bytes = this.#queue.length === 0 ? 0 : this.#bytes - bytes
    if (wasFull && this.room > 0) for (const subscription of this.#branches.values()) subscription.roomy()
    return taken.map(({ record }) => record)
  }

  #reattach(suspect = false): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#attach(suspect).catch(error => this.failed(error))
  }

  /** Reads every shard that can be read now and is not yet. */
  #attach(suspect = false): Promise<void> {
    const before = this.#attaching?.catch(() => {}) ?? Promise.resolve()
    const attaching = before
      .then(() => this.#attachNow(suspect))
      .finally(() => {
        if (this.#attaching === attaching) this.#attaching = undefined
        this.#signal.raise()
      })
    this.#attaching = attaching
    return attaching
  }

  async #attachNow(suspect: boolean): Promise<void> {
    const { topic, partition } = this.#options
    this.#shards = await this.#context.streams.shards(topic)
    if (this.#closed) return
    const gone = this.#isGone()
    const reading = new Set(Array.from(this.#branches.keys(), ({ shard }) => shard.number))
    for (const { shard, progress } of readable(partition, this.#shards, this.#frontier, this.#finished)) {
      if (reading.has(shard.number)) continue
      const from = progress ?? (this.#time === undefined ? undefined : { time: this.#time })
      if (!progress && from) advance(this.#frontier, shard, from, this.#shards)
      const isSuspect = progress === undefined && (suspect || gone)
      this.#begin(shard, from, isSuspect)
    }
    // A shard has ended and its children are not listed yet.
    if (this.#branches.size > 0) return
    this.#timer = this.#environment.timer(again, () => this.#reattach(suspect), true)
  }

  /** Has the shard of a stored position left the retention of the stream, as a whole? */
  #isGone(): boolean {
    if (this.isTrusted) return false
    const listed = new Set(this.#shards.map(({ number }) => number))
    return [...this.#frontier].some(
      ([number, progress]) => 'sequence' in progress && !listed.has(number) && !this.#finished.has(number)
    )
  }

  #begin(shard: Shard, progress: Parameters<typeof advance>[2] | undefined, suspect: boolean, start?: FeedStart): void {
    const { topic, partition } = this.#options
    const branch = new Branch(shard, partition, progress, suspect, this)
    const from = start ?? branch.start(this.#environment.now())
    this.#branches.set(branch, this.#context.feeds.join(topic, this.#partitions, shard, branch, from))
  }

  #leave(branch: Branch): void {
    const subscription = this.#branches.get(branch)
    this.#branches.delete(branch)
    subscription?.leave()
  }

  #detach(): void {
    for (const branch of [...this.#branches.keys()]) this.#leave(branch)
  }

  #lost({ shard }: Branch, first: ShardRecord): unknown {
    const { topic, partition } = this.#options
    return kinesisError(
      'position-lost',
      `partition ${partition} of stream '${topic}' was read up to a record that has left its retention, and there are newer ones from ${shard.id}:${first.sequence} on: between them records may be missing. Start anew at 'earliest', and keep records longer`
    )
  }
}
