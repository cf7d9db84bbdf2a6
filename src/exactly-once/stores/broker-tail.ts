import { diagnose } from '../../core/diagnostics.ts'
import { type Environment, sleep, unlessAborted } from '../../core/environment.ts'
import type { AnyAdapter, PartitionReader, StartAt, TopicPartition } from '../../spec/index.ts'
import { ChangelogRows } from './broker-rows.ts'

/** Between two looks, ms: one request for each partition. */
const lookEvery = 1_000
/** After a failure, ms. */
const tryAgainAfter = 5_000
/** The most, of what fails again and again: heads of an older release tear what is read, and all of it would be read for each. */
const longestPause = 300_000
/** In one piece: what it takes to keep its rows is a few milliseconds of the thread. */
const maxBytes = 1024 * 1024
/**
 * Who has not been at the end for so long begins anew, ms: of what was deleted meanwhile the log may say nothing any more. Kafka keeps
 * deletions for `delete.retention.ms`, a day by default.
 */
const longestAbsence = 60_000
/** The same of who reads for the first time, since it began: all that was there then is read by the end, or superseded. */
const longestFirstReading = 3_600_000

export interface TailParts extends TopicPartition {
  readonly adapter: AnyAdapter
  readonly environment: Environment
  /** The task whose records are kept. */
  readonly task: string
  /** Is there room for what all tails of the stage hold? Asked after each piece; when not, this one ends. */
  hasRoom(): boolean
}

/** Reads the changelog of a task that somebody else holds, as it grows. What it gives was committed, but may be of a chain that is over. */
export class ChangelogTail {
  readonly #parts: TailParts
  readonly #stop = new AbortController()
  readonly #running: Promise<void>
  #closing: Promise<unknown> | undefined
  #rows: ChangelogRows
  #since: Moment
  #follows: boolean
  /** In a row. */
  #tears = 0

  /** @param from what an earlier one has read */
  constructor(parts: TailParts, from?: TailEnd) {
    this.#parts = parts
    this.#rows = from?.rows ?? this.#none()
    this.#since = from?.since ?? now(parts.environment)
    this.#follows = from?.follows ?? false
    this.#running = this.#run().catch(() => {})
  }

  get bytes(): number {
    return this.#rows.bytes
  }

  /** Has come to the end of the changelog, and follows it. */
  get follows(): boolean {
    return this.#follows
  }

  /** Stops, at once. Gives what it has, if that can be gone on from. */
  async end(): Promise<TailEnd | undefined> {
    this.#stop.abort()
    await this.#running
    const { last } = this.#rows
    return this.#follows && last && isFresh(this.#end, this.#parts.environment) ? this.#end : undefined
  }

  /** Stops, and has let go of its connection. */
  async close(): Promise<void> {
    await this.end()
    await this.#closing
  }

  async #run(): Promise<void> {
    const { adapter, environment } = this.#parts
    const { signal } = this.#stop
    let reader: PartitionReader | undefined
    try {
      while (!signal.aborted)
        try {
          if (!isFresh(this.#end, environment)) {
            reader = this.#close(reader)
            if (this.#rows.torn) await sleep(environment, this.#pause(), signal)
            this.#forget()
          }
          reader ??= await this.#open()
          const isAtEnd = await this.#look(reader)
          if (!this.#parts.hasRoom()) return this.#forget()
          if (isAtEnd) await sleep(environment, lookEvery, signal)
          else await environment.turn()
        } catch (error) {
          if (signal.aborted) return
          reader = this.#close(reader)
          // Retention, another topic of that name, or what cannot be read: nothing of it counts. Nor does a first reading that is not of
          // one piece: no head ties its parts together.
          if (!this.#follows || !adapter.classify(error).retryable) this.#forget()
          await sleep(environment, tryAgainAfter, signal)
        }
    } finally {
      this.#close(reader)
    }
  }

  /** One request. Gives whether there is nothing more to read now. */
  async #look(reader: PartitionReader): Promise<boolean> {
    const { environment } = this.#parts
    const asked = now(environment)
    const { records, atEnd } = await reader.receive({ wait: 0, signal: this.#stop.signal })
    for (const record of records) this.#rows.apply(record)
    // It has met a head while it followed, and that was the next one.
    if (this.#rows.confirmed) this.#tears = 0
    if (atEnd && !this.#rows.torn) {
      if (!this.#follows) diagnose('changelog-followed', { task: this.#parts.task, records: this.#rows.records })
      this.#since = asked
      this.#follows = true
      this.#rows.expectLinks()
    }
    return atEnd || records.length === 0
  }

  async #open(): Promise<PartitionReader> {
    const { adapter, topic, partition } = this.#parts
    let from: StartAt = 'earliest'
    if (this.#follows) {
      // Half a commit may be of one that was lost meanwhile: it is read again, and the last head with it.
      this.#rows.expectLast()
      if (this.#rows.anchor !== undefined) from = { after: this.#rows.anchor }
    }
    const opening = adapter.partitionReader!({ topic, partition, from, readCommitted: true, maxBytes })
    try {
      return await unlessAborted(opening, this.#stop.signal)
    } catch (error) {
      void opening.then(reader => this.#close(reader)).catch(() => {})
      throw error
    }
  }

  /** Not waited for: who takes the task over must not wait for a request to a broker that is gone. */
  #close(reader: PartitionReader | undefined): undefined {
    if (reader) this.#closing = Promise.all([this.#closing, reader.close().catch(() => {})])
  }

  #pause(): number {
    return Math.min(tryAgainAfter * 2 ** this.#tears++, longestPause)
  }

  #forget(): void {
    this.#rows = this.#none()
    this.#since = now(this.#parts.environment)
    this.#follows = false
  }

  get #end(): TailEnd {
    return { rows: this.#rows, since: this.#since, follows: this.#follows }
  }

  #none(): ChangelogRows {
    return new ChangelogRows(this.#parts.task, true)
  }
}

/** Ms. Both clocks count: one stands still while a machine sleeps, the other can be set. */
interface Moment {
  readonly monotonic: number
  readonly wall: number
}

const now = (environment: Environment): Moment => ({ monotonic: environment.monotonic(), wall: environment.now() })

/** What a tail has read. */
export interface TailEnd {
  readonly rows: ChangelogRows
  /** When the look was begun that found the end last; before that, when the first one was begun. */
  readonly since: Moment
  /** It has found the end once: from there on heads are tied to each other. */
  readonly follows: boolean
}

/** Is it of one chain, and has it missed no deletion? */
export function isFresh({ rows, since, follows }: TailEnd, environment: Environment): boolean {
  const { monotonic, wall } = now(environment)
  const absence = Math.max(monotonic - since.monotonic, wall - since.wall)
  return !rows.torn && absence <= (follows ? longestAbsence : longestFirstReading)
}
