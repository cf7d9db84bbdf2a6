import { abortedError, type Environment, unlessAborted } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import { type RawRecord, sizeOf } from '../../core/record.ts'
import { Signal } from '../../core/signal.ts'
import type { PartitionReader, PartitionReaderOptions, ReceiveOptions } from '../../spec/log-reader.ts'
import { closedError } from './errors.ts'
import { beforeAll, compareIds, idOf, type MessageId, positionOf } from './positions.ts'
import { toRecord } from './records.ts'
import { partOf, reaches, type Topics } from './topics.ts'
import type { IncomingMessage, ReaderLink, Transport } from './transport.ts'

export interface PartitionReaderContext {
  readonly topics: Topics
  readonly transport: Transport
  readonly environment: Environment
}

interface Waiting {
  readonly record: RawRecord
  readonly id: MessageId
  readonly bytes: number
  /** The server was told already that it may send another one. */
  readonly acknowledged: boolean
}

/** How long before the end of a wait the end of the partition is asked for, ms. */
const askAhead = 100
/** A start by time looks this much further back, ms: clocks differ. */
const slack = 60_000

/**
 * Reads one partition by a Pulsar reader, which needs no subscription. What came is queued up to `maxBytes`; above that
 * the server is asked for no more, and far above it the connection is not read.
 */
export class PulsarPartitionReader implements PartitionReader {
  readonly #context: PartitionReaderContext
  readonly #options: PartitionReaderOptions
  readonly #signal: Signal
  readonly #stop = new AbortController()
  #topic = ''
  /** The last message that came, and the last one that was handed over. */
  #arrived: MessageId = beforeAll
  #delivered: MessageId = beforeAll
  /** Records before this time are passed over, until the first one of it. */
  #notBefore: number | undefined
  #queue: Waiting[] = []
  #bytes = 0
  #paused = false
  #link: ReaderLink | undefined
  #linking: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined
  #closed = false

  constructor(options: PartitionReaderOptions, context: PartitionReaderContext) {
    this.#options = options
    this.#context = context
    this.#signal = new Signal(context.environment)
  }

  /** Finds the place to begin. Rejects with `unknown-topic`. */
  async open(): Promise<this> {
    const { topics } = this.#context
    const { from } = this.#options
    this.#topic = await topics.partitionTopic(this.#options)
    if (from === 'latest') this.#delivered = await topics.last(partOf(this.#topic))
    else if (typeof from === 'object' && 'after' in from) {
      this.#delivered = idOf(from.after)
      await this.#assertKept(this.#delivered)
    } else if (typeof from === 'object') {
      this.#notBefore = from.time
      // What happened at this time was not published before, but for the difference of clocks.
      this.#delivered = (await topics.beforeTime(partOf(this.#topic), from.time - slack)) ?? beforeAll
    }
    this.#arrived = this.#delivered
    await this.#connect()
    return this
  }

  /** Pulsar goes on with what is left and says nothing; a reader must be told. */
  async #assertKept(after: MessageId): Promise<void> {
    const { ledgers, lastConfirmedEntry } = await this.#context.topics.internalStats(partOf(this.#topic))
    const first = ledgers[0]?.ledgerId ?? 0
    if (after.ledger >= first || compareIds(idOf(lastConfirmedEntry), after) <= 0) return
    throw new StreamError(
      'position-lost',
      `${this.#topic} was read up to ${positionOf(after)}, but begins at ledger ${first} by now: retention has removed records, perhaps unread ones. Start anew at 'earliest', and keep records longer`,
      { adapter: 'pulsar' }
    )
  }

  async receive({
    wait,
    signal
  }: ReceiveOptions): Promise<{ readonly records: readonly RawRecord[]; readonly atEnd: boolean }> {
    const { environment } = this.#context
    const deadline = environment.monotonic() + wait
    let end: EndCheck | undefined
    for (;;) {
      if (this.#closed) throw closedError()
      if (signal?.aborted) throw abortedError(signal)
      // Who does not wait asks for the end: records that come meanwhile must not keep the answer from it.
      if (this.#queue.length > 0 && (wait > 0 || isAnswered(end) || this.#failure)) {
        const records = this.#take()
        return {
          records,
          atEnd: this.#queue.length === 0 && end?.last !== undefined && reaches(this.#delivered, end.last)
        }
      }
      if (this.#failure) {
        const { error } = this.#failure
        this.#failure = undefined
        throw error
      }
      if (!this.#link) await unlessAborted(this.#connect(), signal)
      const left = deadline - environment.monotonic()
      if (left <= askAhead) end ??= this.#askEnd()
      if (end?.failure) throw end.failure.error
      if (left <= 0 && end?.last) return { records: [], atEnd: await unlessAborted(this.#isEnd(end.last), signal) }
      // Woken by a record, by the answer about the end, or by the time.
      await this.#signal.wait(left <= 0 ? undefined : left <= askAhead ? left : left - askAhead, signal)
    }
  }

  /** Leaves a topic that is about to be deleted: an open socket would create it again. The next `receive` looks for it. */
  async letGo(topic: string): Promise<void> {
    const link = this.#link
    if (topic !== this.#options.topic || !link) return
    this.#link = undefined
    this.#paused = false
    this.#queue = []
    this.#bytes = 0
    await link.close()
    this.#signal.raise()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#stop.abort()
    this.#queue = []
    this.#signal.raise()
    await this.#linking?.catch(() => {})
    await this.#link?.close()
  }

  /** Only what was written before the question counts, which is asked within the call. */
  #askEnd(): EndCheck {
    const check: EndCheck = { last: undefined, failure: undefined }
    this.#context.topics.last(partOf(this.#topic), this.#stop.signal).then(
      last => {
        check.last = last
        this.#signal.raise()
      },
      (error: unknown) => {
        check.failure = { error: this.#closed ? closedError() : error }
        this.#context.topics.forget(this.#options.topic)
        this.#signal.raise()
      }
    )
    return check
  }

  async #isEnd(last: MessageId): Promise<boolean> {
    if (reaches(this.#delivered, last) || reaches(this.#arrived, last)) return true
    // The end may be in a ledger that is deleted already: then it never comes.
    const nothing = await this.#context.topics.nothingAfter(partOf(this.#topic), this.#arrived, this.#stop.signal)
    return nothing && this.#queue.length === 0
  }

  #take(): RawRecord[] {
    let bytes = 0
    let count = 0
    let owed = 0
    for (const waiting of this.#queue) {
      if (count > 0 && bytes + waiting.bytes > this.#options.maxBytes) break
      bytes += waiting.bytes
      count++
      if (!waiting.acknowledged) owed++
    }
    const taken = count === this.#queue.length ? this.#queue : this.#queue.slice(0, count)
    this.#queue = count === this.#queue.length ? [] : this.#queue.slice(count)
    this.#bytes -= bytes
    this.#delivered = taken[count - 1]!.id
    if (owed > 0) this.#link?.more(owed)
    if (this.#paused && this.#bytes <= this.#options.maxBytes) {
      this.#paused = false
      this.#link?.resume()
    }
    return taken.map(({ record }) => record)
  }

  #connect(): Promise<void> {
    this.#linking ??= this.#open().finally(() => (this.#linking = undefined))
    return this.#linking
  }

  async #open(): Promise<void> {
    const { topics, transport } = this.#context
    const { maxBytes } = this.#options
    let current: ReaderLink
    let lost = false
    try {
      // A socket to a topic that is gone would create it.
      this.#topic = await topics.partitionTopic(this.#options)
      current = await transport.reader({
        topic: this.#topic,
        after: this.#arrived === beforeAll ? undefined : this.#arrived,
        // Few when little may be held: the server sends them whatever their size.
        window: Math.min(1_000, Math.max(256, Math.ceil(maxBytes / 512))),
        message: (message, link) => this.#message(message, link),
        failed: error => {
          lost = true
          this.#lost(error)
        }
      })
    } catch (error) {
      topics.forget(this.#options.topic)
      throw error
    }
    if (this.#closed) {
      await current.close()
      throw closedError()
    }
    if (!lost) this.#link = current
    try {
      topics.assertStays(this.#options.topic)
    } catch (error) {
      await this.letGo(this.#options.topic)
      throw error
    }
  }

  #lost(error: unknown): void {
    this.#context.topics.forget(this.#options.topic)
    this.#link = undefined
    this.#paused = false
    // What is queued is good: the next connection begins behind it.
    this.#queue = this.#queue.map(waiting => ({ ...waiting, acknowledged: true }))
    if (this.#closed) return
    this.#failure = { error }
    this.#signal.raise()
  }

  #message(message: IncomingMessage, link: ReaderLink): void {
    const { id } = message
    // A topic that moves to another broker may be read again from a little before.
    const again = compareIds(id, this.#arrived) <= 0
    if (!again) this.#arrived = id
    const record = again ? undefined : toRecord(message)
    if (record === undefined || (this.#notBefore !== undefined && record.timestamp < this.#notBefore))
      return link.more(1)
    this.#notBefore = undefined
    const bytes = sizeOf(record)
    this.#bytes += bytes
    const acknowledged = this.#bytes < this.#options.maxBytes
    this.#queue.push({ record, id, bytes, acknowledged })
    if (acknowledged) link.more(1)
    else if (!this.#paused && this.#bytes > 2 * this.#options.maxBytes) {
      this.#paused = true
      link.pause()
    }
    this.#signal.raise()
  }
}

const isAnswered = (end: EndCheck | undefined): boolean => end?.last !== undefined || end?.failure !== undefined

interface EndCheck {
  last: MessageId | undefined
  failure: { readonly error: unknown } | undefined
}
