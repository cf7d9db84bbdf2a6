import { diagnose } from '../../core/diagnostics.ts'
import type { Environment } from '../../core/environment.ts'
import { Signal } from '../../core/signal.ts'
import type { KinesisRecord } from './client.ts'
import type { Connection } from './connection.ts'
import { classify, isThrottle, nameOf, unknownStream } from './errors.ts'
import { Cursor, type FeedStart, type Subscriber } from './cursor.ts'
import { type FanOut, keepSubscribed, type Push } from './fan-out.ts'
import { type Pace, paceOf } from './pace.ts'
import { ShardBatch, type Sorter } from './shard-batch.ts'
import type { Shard } from './shards.ts'

export interface FeedContext {
  readonly connection: Connection
  readonly stream: string
  readonly shard: Shard
  readonly sorter: Sorter
  /** Ms between two looks at the end of the shard. */
  readonly pollInterval: number
  /** Records are pushed by it. */
  readonly fanOut: FanOut | undefined
}

/** Others wait so long for a reader that has no room, ms; then they go on without it. */
const patience = 500
/** A shard that pushes is looked at all the same, to see its end: so often, ms. */
const pushedInterval = 1_000
/** Most records that a look may give. */
const mostRecords = 10_000

/**
 * Reads one shard for all partitions of this process that are in it, with as few calls as can be: readers at the same place
 * share a cursor, and a cursor that comes upon another one takes its readers along.
 */
export class ShardFeed {
  readonly #context: FeedContext
  readonly #environment: Environment
  readonly #signal: Signal
  readonly #abort = new AbortController()
  readonly #looks: { readonly pace: Pace; release(): void }
  readonly #iterators: { readonly pace: Pace; release(): void }
  #cursors: Cursor[] = []
  /** Bytes of a record of Kinesis, as they came lately. */
  #average = 10_240
  #refused = 0
  #running: Promise<void> | undefined
  /** The cursor that is moved by a subscription, while there is one. */
  #pushed: Cursor | undefined
  #subscribing: Promise<void> | undefined
  #wakePusher: (() => void) | undefined

  constructor(context: FeedContext) {
    this.#context = context
    const { connection, stream, shard } = context
    this.#environment = connection.environment
    this.#signal = new Signal(this.#environment)
    const name = `${connection.place} ${stream} ${shard.id}`
    this.#looks = paceOf(name)
    this.#iterators = paceOf(`${name} iterators`)
  }

  get isIdle(): boolean {
    return this.#cursors.length === 0
  }

  join(subscriber: Subscriber, start: FeedStart): void {
    this.#cursors.push(new Cursor(start, [subscriber]))
    this.#running ??= this.#run()
    const { fanOut } = this.#context
    if (fanOut) this.#subscribing ??= this.#subscribe(fanOut)
    this.#signal.raise()
  }

  leave(subscriber: Subscriber): void {
    for (const cursor of this.#cursors) cursor.subscribers.delete(subscriber)
    this.#cursors = this.#cursors.filter(({ subscribers }) => subscribers.size > 0)
    this.roomy()
  }

  /** A reader has room again. */
  roomy(): void {
    this.#signal.raise()
    this.#wakePusher?.()
  }

  async close(): Promise<void> {
    this.#cursors = []
    this.#abort.abort()
    this.roomy()
    await this.#running
    await this.#subscribing
    this.#looks.release()
    this.#iterators.release()
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort
    try {
      while (this.#cursors.length > 0) {
        const { cursor, wait } = this.#next()
        if (!cursor || wait > 0) {
          await this.#signal.wait(cursor ? wait : undefined, signal)
          continue
        }
        await this.#look(cursor)
      }
    } catch (error) {
      if (signal.aborted) return
      // A bug of ours must not end as silence.
      for (const cursor of this.#cursors.splice(0))
        for (const subscriber of cursor.subscribers) subscriber.failed(error)
    } finally {
      // At once: a reader may join before anybody hears of this end.
      this.#running = undefined
    }
  }

  /** The cursor that is due first, and ms until then. */
  #next(): { readonly cursor: Cursor | undefined; readonly wait: number } {
    const now = this.#environment.monotonic()
    let next: Cursor | undefined
    let at = Infinity
    for (const cursor of [...this.#cursors]) {
      let due = cursor.dueAt(this.#context.pollInterval)
      if (cursor === this.#pushed) due = cursor.askedAt + pushedInterval
      const full = cursor.full()
      if (full.length === cursor.subscribers.size) continue
      if (full.length === 0) cursor.stalledAt = undefined
      else {
        cursor.stalledAt ??= now
        if (now - cursor.stalledAt >= patience) {
          this.#cursors.push(cursor.split(full))
          this.#wakePusher?.()
        } else due = Math.max(due, cursor.stalledAt + patience)
      }
      if (due < at || (due === at && next && cursor.isBefore(next))) {
        next = cursor
        at = due
      }
    }
    return { cursor: next, wait: at - now }
  }

  async #look(cursor: Cursor): Promise<void> {
    const { signal } = this.#abort
    try {
      // A subscription has moved it on.
      if (cursor === this.#pushed && cursor.from) cursor.iterator = undefined
      const iterator = (cursor.iterator ??= await this.#iteratorOf(cursor))
      await this.#looks.pace.turn(this.#environment, signal)
      if (!this.#cursors.includes(cursor)) return
      const asked = (cursor.askedAt = this.#environment.monotonic())
      const input = { ShardIterator: iterator, Limit: this.#limit(cursor) }
      const answer = await this.#context.connection.request('GetRecords', input, signal)
      this.#looks.pace.allowed()
      this.#refused = 0
      // Its readers have moved on with a subscription meanwhile, or have left.
      if (!this.#cursors.includes(cursor)) return
      this.#take(cursor, answer.Records ?? [], answer.MillisBehindLatest ?? 0, asked)
      cursor.iterator = answer.NextShardIterator ?? undefined
      if (cursor.iterator === undefined) this.#end(cursor)
    } catch (error) {
      if (signal.aborted) throw error
      this.#failed(cursor, error)
    }
  }

  #take(cursor: Cursor, records: readonly KinesisRecord[], behind: number, asked: number): void {
    const { shard, sorter } = this.#context
    const from = cursor.from
    cursor.moved(records.at(-1)?.SequenceNumber, behind)
    // Whoever stands between where this look began and where it ended has a share in it, and goes on from its end.
    for (const other of [...this.#cursors])
      if (other !== cursor && from && cursor.passed(from, other)) {
        cursor.absorb(other)
        if (this.#pushed === other) this.#pushed = cursor
        this.#cursors = this.#cursors.filter(each => each !== other)
      }
    const batch = new ShardBatch(shard, records, sorter, behind, asked)
    const wanted = new Set(Array.from(cursor.subscribers, ({ partition }) => partition))
    let most = 0
    for (const subscriber of cursor.subscribers) most = Math.max(most, subscriber.offer(batch, wanted))
    if (records.length === 0) return
    const bytes = records.reduce((sum, { Data }) => sum + Data.byteLength, 0)
    this.#average = (this.#average + Math.max(bytes, most) / records.length) / 2
  }

  /** One subscription, at the place that is furthest on: the others come after it by looking. */
  async #subscribe(fanOut: FanOut): Promise<void> {
    const { stream, shard } = this.#context
    const target = {
      stream,
      shardId: shard.id,
      cursor: () => this.#furthest(),
      pushed: (push: Push) => this.#takePushed(push),
      look: () => {
        if (this.#pushed) this.#pushed.askedAt = -Infinity
        this.#signal.raise()
      },
      lost: () => (this.#pushed = undefined),
      room: () => this.#whenRoom()
    }
    try {
      await keepSubscribed(fanOut, target, this.#abort.signal)
    } finally {
      this.#pushed = undefined
      this.#subscribing = undefined
    }
  }

  #furthest(): Cursor | undefined {
    const [first, ...others] = this.#cursors
    return others.reduce((furthest, cursor) => (furthest?.isBefore(cursor) ? cursor : furthest), first)
  }

  #takePushed({ records, behind, from, begun }: Push): boolean {
    if (!this.#pushed || !this.#cursors.includes(this.#pushed)) this.#pushed = this.#furthest()
    const cursor = this.#pushed
    // One that left off before the place of the subscription would miss what is between. That it began there says nothing once
    // the subscription has moved on with another one.
    if (!cursor || !(from ? cursor.isFrom(from) : cursor === begun)) {
      this.#pushed = undefined
      return false
    }
    // When the answer came says nothing about the end of the shard: looking does.
    this.#take(cursor, records, behind, -Infinity)
    return true
  }

  /** Until nobody of the pushed readers is full; those that stay so are left behind by the loop that looks. */
  async #whenRoom(): Promise<void> {
    while (this.#pushed && this.#cursors.includes(this.#pushed) && this.#pushed.full().length > 0)
      await new Promise<void>(resolve => (this.#wakePusher = resolve))
  }

  #end(cursor: Cursor): void {
    this.#cursors = this.#cursors.filter(each => each !== cursor)
    for (const subscriber of cursor.subscribers) subscriber.ended()
  }

  /** Records that are asked for at once: about as many as there is room for. */
  #limit(cursor: Cursor): number {
    let room = 0
    for (const subscriber of cursor.subscribers) room = Math.max(room, subscriber.room)
    return Math.max(1, Math.min(mostRecords, Math.ceil(room / this.#average)))
  }

  #failed(cursor: Cursor, error: unknown): void {
    const { stream } = this.#context
    if (isThrottle(error)) {
      // Not a failure: the limit is for everybody who reads the shard, and it is kept by going slower.
      this.#looks.pace.refused()
      diagnose('receive-retried', { topics: [stream], attempt: ++this.#refused, error })
      return
    }
    if (nameOf(error) === 'ExpiredIteratorException' && !cursor.renewed) {
      cursor.renewed = true
      cursor.iterator = undefined
      return
    }
    const failure = classify(error).code === 'unknown-topic' ? unknownStream(stream, error) : error
    this.#cursors = this.#cursors.filter(each => each !== cursor)
    for (const subscriber of cursor.subscribers) subscriber.failed(failure)
  }

  async #iteratorOf(cursor: Cursor): Promise<string> {
    const from = cursor.from
    try {
      return await this.#ask(cursor.request())
    } catch (error) {
      const name = nameOf(error)
      if (!from || from.sequence === '' || !['InvalidArgumentException', 'ResourceNotFoundException'].includes(name))
        throw error
      // The record is not there any more, or never was. If the shard is, it is read from its start, under suspicion.
      const iterator = await this.#ask({ ShardIteratorType: 'TRIM_HORIZON' })
      for (const subscriber of cursor.subscribers) subscriber.missing()
      return iterator
    }
  }

  async #ask(where: object): Promise<string> {
    const { connection, stream, shard } = this.#context
    const { signal } = this.#abort
    await this.#iterators.pace.turn(this.#environment, signal)
    const input = { StreamName: stream, ShardId: shard.id, ...where }
    const { ShardIterator } = await connection.request('GetShardIterator', input, signal)
    return ShardIterator
  }
}
