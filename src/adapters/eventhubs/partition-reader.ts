import { abortedError, type Environment, unlessAborted } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import { type RawRecord, sizeOf } from '../../core/record.ts'
import { Signal } from '../../core/signal.ts'
import type { PartitionReader, PartitionReaderOptions, ReceiveOptions } from '../../spec/log-reader.ts'
import type { ConsumerClient, EventPosition } from './client.ts'
import type { ConsumerGroups, GroupChoice } from './consumer-groups.ts'
import { classify, closedError, explained } from './errors.ts'
import { Feed } from './feed.ts'
import type { Hubs, Use } from './hubs.ts'
import { sequenceOf } from './positions.ts'

export interface PartitionReaderContext {
  readonly hubs: Hubs
  readonly groups: ConsumerGroups
  readonly environment: Environment
  readonly requestTimeout: number
}

/** How long before the end of a wait the end of the partition is asked for, ms. */
const askAhead = 100
/** How much longer records that are known to come are waited for, ms. */
const grace = 100
const earliest: EventPosition = { offset: '-1' }

/** Reads one partition. What has come is queued up to about `maxBytes`. */
export class EventhubsPartitionReader implements PartitionReader {
  readonly #context: PartitionReaderContext
  readonly #options: PartitionReaderOptions
  readonly #signal: Signal
  readonly #stop = new AbortController()
  readonly #choice: GroupChoice
  #use: Use<ConsumerClient> | undefined
  #feed: Feed | undefined
  #delivered = -1
  #start: EventPosition = earliest
  /** Milliseconds since the epoch, when it started at a time. */
  #notBefore: number | undefined
  #queue: Chunk[] = []
  #bytes = 0
  #failure: { readonly error: unknown } | undefined
  #opening: Promise<void> | undefined
  #closed = false

  constructor(options: PartitionReaderOptions, context: PartitionReaderContext) {
    this.#options = options
    this.#context = context
    this.#signal = new Signal(context.environment)
    this.#choice = context.groups.choose(options)
  }

  /** Finds the place to begin. Rejects with `unknown-topic` and `position-lost`. */
  async open(): Promise<this> {
    const { from, topic, partition } = this.#options
    const use = this.#connect()
    const { hubs } = this.#context
    const found = await hubs.describePartition(topic, partition, this.#stop.signal, use)
    if (from === 'latest') this.#delivered = found.lastEnqueuedSequenceNumber
    else if (typeof from === 'object' && 'after' in from) {
      this.#delivered = sequenceOf(from.after)
      this.#assertKept(this.#delivered, found.beginningSequenceNumber, found.lastEnqueuedSequenceNumber)
    } else if (typeof from === 'object') {
      this.#notBefore = from.time
      this.#start = { enqueuedOn: Math.ceil(from.time) - 1 }
    }
    await this.#openFeed()
    return this
  }

  async receive({
    wait,
    signal,
    end: wanted = true
  }: ReceiveOptions): Promise<{ readonly records: readonly RawRecord[]; readonly atEnd: boolean }> {
    const { environment } = this.#context
    const deadline = environment.monotonic() + wait
    let end: EndCheck | undefined
    for (;;) {
      if (this.#closed) throw closedError()
      if (signal?.aborted) throw abortedError(signal)
      // Who does not wait asks for the end: records that come meanwhile must not keep the answer from it.
      if (this.#queue.length > 0 && (wait > 0 || !wanted || isAnswered(end) || this.#failure)) {
        const records = this.#take()
        return { records, atEnd: end?.last !== undefined && this.#delivered >= end.last }
      }
      if (this.#failure) {
        const { error } = this.#failure
        this.#failure = undefined
        throw error
      }
      if (!this.#feed) await unlessAborted(this.#openFeed(), signal)
      const left = deadline - environment.monotonic()
      if (wanted && left <= askAhead) end ??= this.#askEnd()
      if (end?.failure) throw end.failure.error
      if (left <= 0 && (!wanted || (end?.last !== undefined && this.#delivered >= end.last)))
        return { records: [], atEnd: wanted }
      // What is missing is on its way.
      if (left <= -grace && end?.last !== undefined) return { records: [], atEnd: false }
      // Woken by records, by the answer about the end, or by the time.
      const pause = left > 0 ? left : end?.last === undefined ? undefined : left + grace
      await this.#signal.wait(wanted && pause !== undefined && pause > askAhead ? pause - askAhead : pause, signal)
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#stop.abort()
    this.#queue = []
    this.#signal.raise()
    await this.#opening?.catch(() => {})
    await this.#disconnect()
  }

  #connect(): Use<ConsumerClient> {
    // Nobody would let it go again.
    if (this.#closed) throw closedError()
    const { topic, partition } = this.#options
    return (this.#use ??= this.#context.hubs.consumer(topic, this.#choice.group, partition))
  }

  #openFeed(): Promise<void> {
    if (this.#opening) return this.#opening
    const opening = this.#begin().finally(() => {
      if (this.#opening === opening) this.#opening = undefined
    })
    return (this.#opening = opening)
  }

  async #begin(): Promise<void> {
    if (this.#closed) throw closedError()
    const { partition, maxBytes } = this.#options
    const { client } = this.#connect()
    const feed = new Feed(
      {
        client,
        environment: this.#context.environment,
        patience: this.#context.requestTimeout + 5_000,
        partition,
        maxBytes,
        ownerLevel: this.#choice.ownerLevel,
        arrived: (records, bytes) => {
          if (this.#feed !== feed) return
          this.#queue.push({ records, bytes })
          this.#bytes += bytes
          this.#signal.raise()
        },
        hasRoom: () => this.#bytes < maxBytes,
        skipped: (after, next) => this.#skipped(after, next),
        failed: error => this.#failed(feed, error)
      },
      this.#delivered,
      this.#start
    )
    this.#feed = feed
    await feed.open()
  }

  #failed(feed: Feed, thrown: unknown): void {
    if (this.#feed !== feed || this.#closed) return
    this.#feed = undefined
    // Nobody opens it again before this is settled.
    const before = this.#opening
    this.#opening = this.#settle(feed, thrown, before).finally(() => {
      this.#opening = undefined
      this.#signal.raise()
    })
  }

  async #settle(feed: Feed, thrown: unknown, before: Promise<void> | undefined): Promise<void> {
    await before?.catch(() => {})
    this.#drop()
    // A client that does not answer is not asked again.
    if (classify(thrown).code === 'timeout') this.#use?.discard()
    await this.#disconnect(feed)
    // A group that is full, or that is not there yet: there may be another way.
    const error = await this.#choice.next(thrown).catch((failure: unknown) => failure)
    const { topic, partition } = this.#options
    if (error !== undefined && !this.#closed)
      this.#failure = { error: explained(`reading partition ${partition} of hub '${topic}'`, error) }
  }

  /** What is queued was read by a connection that is gone; it is read again, behind what was handed over. */
  #drop(): void {
    this.#queue = []
    this.#bytes = 0
  }

  async #disconnect(feed: Feed | undefined = this.#feed): Promise<void> {
    const use = this.#use
    this.#feed = undefined
    this.#use = undefined
    await feed?.close()
    use?.release()
  }

  /** Only what was written before the question counts, which is asked within the call. */
  #askEnd(): EndCheck {
    const check: EndCheck = { last: undefined, failure: undefined }
    const { topic, partition } = this.#options
    this.#context.hubs.describePartition(topic, partition, this.#stop.signal, this.#connect()).then(
      ({ lastEnqueuedSequenceNumber, lastEnqueuedOnUtc, isEmpty }) => {
        // What retention has taken does not come any more, nor what was written before the time to start at.
        const before = this.#delivered < 0 && lastEnqueuedOnUtc.getTime() < (this.#notBefore ?? -Infinity)
        check.last = isEmpty || before ? -1 : lastEnqueuedSequenceNumber
        this.#signal.raise()
      },
      (error: unknown) => {
        check.failure = { error: this.#closed ? closedError() : error }
        this.#signal.raise()
      }
    )
    return check
  }

  /** A hole in the sequence: compaction leaves some, but retention must not take what was not read. */
  async #skipped(after: number, next: number): Promise<void> {
    const { topic, partition } = this.#options
    const { hubs } = this.#context
    const found = await hubs.describePartition(topic, partition, this.#stop.signal, this.#connect())
    if (next === found.beginningSequenceNumber) this.#assertKept(after, next, next)
  }

  #assertKept(after: number, begin: number, last: number): void {
    if (after + 1 >= begin && after <= last) return
    const { topic, partition } = this.#options
    throw new StreamError(
      'position-lost',
      after > last
        ? `partition ${partition} of hub '${topic}' was read up to ${after}, but ends at ${last}: it is not the hub that was read before. Start anew at 'earliest'`
        : `partition ${partition} of hub '${topic}' was read up to ${after}, but begins at ${begin} by now: retention has removed unread records. Start anew at 'earliest', and keep records longer`,
      { adapter: 'eventhubs' }
    )
  }

  #take(): readonly RawRecord[] {
    const { maxBytes } = this.#options
    const [first] = this.#queue as [Chunk]
    let taken = first
    if (first.bytes <= maxBytes || first.records.length === 1) this.#queue.shift()
    else {
      const [head, rest] = split(first, maxBytes)
      taken = head
      this.#queue[0] = rest
    }
    this.#bytes -= taken.bytes
    this.#delivered = sequenceOf(taken.records.at(-1)!.position)
    if (this.#bytes < maxBytes) this.#feed?.resume()
    return taken.records
  }
}

/** Records that came together. */
interface Chunk {
  readonly records: readonly RawRecord[]
  readonly bytes: number
}

/** As many as `maxBytes` hold, at least one, and the rest. */
function split({ records, bytes }: Chunk, maxBytes: number): [Chunk, Chunk] {
  let size = 0
  let count = 0
  for (; count < records.length; count++) {
    const next = sizeOf(records[count]!)
    if (count > 0 && size + next > maxBytes) break
    size += next
  }
  return [
    { records: records.slice(0, count), bytes: size },
    { records: records.slice(count), bytes: bytes - size }
  ]
}

const isAnswered = (end: EndCheck | undefined): boolean => end?.last !== undefined || end?.failure !== undefined

interface EndCheck {
  last: number | undefined
  failure: { readonly error: unknown } | undefined
}
