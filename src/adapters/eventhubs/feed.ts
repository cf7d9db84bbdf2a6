import type { Environment, Timer } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import { type RawRecord, sizeOf } from '../../core/record.ts'
import type { ConsumerClient, EventPosition, IncomingEvent, Subscription } from './client.ts'
import { toRecord } from './records.ts'

export interface FeedOptions {
  readonly client: ConsumerClient
  readonly environment: Environment
  /** Without a sign of life for so many ms the client is given up. */
  readonly patience: number
  readonly partition: number
  readonly ownerLevel: number | undefined
  readonly maxBytes: number
  /** New records, in order. */
  arrived(records: readonly RawRecord[], bytes: number): void
  /** May it go on? Asked after each delivery; when not, `resume` says so. */
  hasRoom(): boolean
  /** There are events missing before this one: resolves when that is right. */
  skipped(after: number, next: number): Promise<void>
  failed(error: unknown): void
}

/** Bytes of an event before any has come, and how many may be under way: bounds. */
const guessedSize = 1_024
const smallestWindow = 8
const largestWindow = 4_000
/** Few of them are given on at once: while they are worked on the server sends others, and what is short-lived is cheap. */
const batchOf = (window: number): number => Math.max(4, Math.ceil(window / 16))
/** The client notices a lost connection only between two waits, seconds. */
const clientWait = 1
/** To close a link the client waits a minute for a server that is gone, ms. */
const closeTime = 2_000

function withoutPlace(sequence: unknown): StreamError {
  return new StreamError('corrupt', `an event came with the sequence number ${String(sequence)}`, {
    adapter: 'eventhubs'
  })
}

/**
 * What a subscription of the vendor client pushes, kept to a few times `maxBytes`. The client counts events and not bytes, and
 * with each wait it grants the server a whole window anew, whatever is still outstanding: after a quiet time the server may
 * send without end. So what may come is counted here. When that is too much, because events are larger than was thought, or
 * because there is no room, the subscription is given up, and begun again behind the last record.
 */
export class Feed {
  readonly #options: FeedOptions
  #subscription: Subscription | undefined
  #closing: Promise<void> | undefined
  /** Sequence number of the last event that arrived, or where to begin. */
  #arrived: number
  #start: EventPosition
  #window = 0
  /** Events that the server may still send, at most. */
  #outstanding = 0
  #bytes = 0
  #count = 0
  #resume: (() => void) | undefined
  #aliveAt = 0
  #watch: Timer | undefined
  #closed = false

  /** @param arrived sequence number of the last event that was read, -1 when none: then `start` says where to begin */
  constructor(options: FeedOptions, arrived: number, start: EventPosition) {
    this.#options = options
    this.#arrived = arrived
    this.#start = start
  }

  get isOpen(): boolean {
    return this.#subscription !== undefined
  }

  /** Sequence number of the last event that has arrived. */
  get arrived(): number {
    return this.#arrived
  }

  /** Begins, or begins again behind the last event. Never rejects. */
  async open(): Promise<void> {
    await this.#closing
    if (this.#closed || this.#subscription) return
    try {
      this.#subscribe()
    } catch (error) {
      this.#options.failed(error)
    }
  }

  #subscribe(): void {
    const { client, partition, ownerLevel } = this.#options
    const window = (this.#window = this.#windowFor())
    this.#outstanding = window
    let mine: Subscription | undefined
    const isMine = (): boolean => mine === undefined || this.#subscription === mine
    mine = client.subscribe(
      String(partition),
      {
        processEvents: async events => {
          this.#aliveAt = this.#options.environment.monotonic()
          if (isMine()) await this.#take(events)
        },
        processError: async error => {
          if (!isMine()) return
          this.#giveUp()
          this.#options.failed(error)
        }
      },
      {
        startPosition: this.#arrived >= 0 ? { sequenceNumber: this.#arrived } : this.#start,
        maxBatchSize: batchOf(window),
        prefetchCount: window,
        maxWaitTimeInSeconds: clientWait,
        skipParsingBodyAsJson: true,
        ...(ownerLevel !== undefined && { ownerLevel })
      }
    )
    this.#subscription = mine
    this.#aliveAt = this.#options.environment.monotonic()
    this.#watchOver(mine)
  }

  /** The client calls at least once in a second; it has been seen not to, after connections were lost. */
  #watchOver(subscription: Subscription): void {
    const { environment, patience, failed } = this.#options
    this.#watch = environment.timer(
      patience / 4,
      () => {
        if (this.#subscription !== subscription) return
        const silent = environment.monotonic() - this.#aliveAt
        if (this.#resume || silent < patience) return this.#watchOver(subscription)
        this.#giveUp()
        failed(
          new StreamError('timeout', `the client gave no sign of life for ${Math.round(silent)} ms`, {
            adapter: 'eventhubs',
            retryable: true
          })
        )
      },
      true
    )
  }

  /** There is room again. */
  resume(): void {
    const resume = this.#resume
    this.#resume = undefined
    this.#aliveAt = this.#options.environment.monotonic()
    if (resume) resume()
    else if (!this.#subscription) void this.open()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#giveUp()
    await this.#closing
  }

  async #take(events: readonly IncomingEvent[]): Promise<void> {
    const mine = this.#subscription
    if (events.length > 0) {
      const records: RawRecord[] = []
      let bytes = 0
      for (const event of events) {
        const sequence = event.sequenceNumber
        if (!Number.isSafeInteger(sequence)) throw withoutPlace(sequence)
        // A connection that was lost and made again may repeat a little.
        if (sequence <= this.#arrived) continue
        if (this.#arrived >= 0 && sequence > this.#arrived + 1) {
          await this.#options.skipped(this.#arrived, sequence)
          if (this.#subscription !== mine) return
        }
        this.#arrived = sequence
        const record = toRecord(event)
        bytes += sizeOf(record)
        records.push(record)
      }
      this.#bytes += bytes
      this.#count += records.length
      if (records.length > 0) this.#options.arrived(records, bytes)
    }
    const left = this.#outstanding - events.length
    const hasRoom = this.#options.hasRoom()
    const tooMuch = left * this.#mean() > 2 * this.#options.maxBytes
    if ((tooMuch && (!hasRoom || this.#window > this.#windowFor())) || this.#shouldWiden(events.length)) {
      this.#giveUp()
      if (hasRoom) void this.open()
      return
    }
    if (!hasRoom) await new Promise<void>(resolve => (this.#resume = resolve))
    this.#outstanding = left + this.#window
  }

  /** A backlog, and a window that is much too small for it. */
  #shouldWiden(events: number): boolean {
    return events === batchOf(this.#window) && this.#windowFor() >= 4 * this.#window
  }

  #windowFor(): number {
    const events = Math.floor(this.#options.maxBytes / this.#mean())
    return Math.max(smallestWindow, Math.min(largestWindow, events))
  }

  #mean(): number {
    return this.#count === 0 ? guessedSize : this.#bytes / this.#count
  }

  /** Without waiting: the client stops by itself. */
  #giveUp(): void {
    const subscription = this.#subscription
    this.#subscription = undefined
    this.#resume?.()
    this.#resume = undefined
    this.#watch?.cancel()
    if (!subscription) return
    const { environment } = this.#options
    let timer: Timer | undefined
    const late = new Promise<void>(resolve => (timer = environment.timer(closeTime, resolve, true)))
    const closed = subscription.close().catch(() => {})
    const before = this.#closing
    this.#closing = Promise.all([before, Promise.race([closed, late])]).then(() => timer?.cancel())
  }
}
