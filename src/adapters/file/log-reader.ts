import { abortedError, type Timer } from '../../core/environment.ts'
import type { Position } from '../../core/record.ts'
import { Signal } from '../../core/signal.ts'
import type {
  LogEvent,
  LogReader,
  LogReaderOptions,
  ReceiveOptions,
  StartAt,
  TopicPartition
} from '../../spec/index.ts'
import type { FileConnection } from './client.ts'
import { Cursor, parsePosition } from './cursor.ts'
import { classify, closedError, fileError } from './errors.ts'
import { GroupMember } from './group.ts'
import { Holdings } from './holdings.ts'
import { Rotation } from './rotation.ts'

/** Longest time between two heartbeats, ms. */
const longestBeat = 1_000

/** A member of a consumer group. Records are read when they are asked for, not before. */
export class FileLogReader implements LogReader {
  readonly #connection: FileConnection
  readonly #options: LogReaderOptions
  readonly #member: GroupMember
  readonly #holdings: Holdings
  readonly #rotation: Rotation
  readonly #signal: Signal
  #stopListening: (() => void) | undefined
  #timer: Timer | undefined
  /** Of the group, at the last heartbeat. */
  #version = -1
  #joined = false
  #beating: Promise<void> | undefined
  #isBeating = false
  #beatAgain = false
  #failure: unknown
  #closed: Promise<void> | undefined

  private constructor(connection: FileConnection, options: LogReaderOptions) {
    this.#connection = connection
    this.#options = options
    this.#member = new GroupMember(connection, options.group, options.topics, options.sessionTimeout)
    this.#holdings = new Holdings(
      connection.environment,
      options.sessionTimeout,
      unit => this.#open(unit),
      () => this.#beat()
    )
    this.#rotation = new Rotation(connection)
    this.#signal = new Signal(connection.environment)
  }

  /** Joins the group. Errors: `unknown-topic`, `bad-config`, `timeout`. */
  static async open(connection: FileConnection, options: LogReaderOptions): Promise<FileLogReader> {
    const reader = new FileLogReader(connection, options)
    try {
      await reader.#lookAtGroup()
    } catch (error) {
      await reader.close()
      throw error
    }
    reader.#stopListening = connection.news.listen(() => reader.#onNews())
    reader.#schedule(reader.#interval)
    connection.news.tell()
    return reader
  }

  async receive({ wait, signal }: ReceiveOptions): Promise<readonly LogEvent[]> {
    const { environment } = this.#connection
    const deadline = environment.monotonic() + wait
    await this.#connection.breathe()
    for (;;) {
      this.#assertOpen()
      if (signal?.aborted) throw abortedError(signal)
      const events = this.#holdings.takeEvents()
      if (events.length > 0) return events
      this.#throwFailure()
      const records = this.#rotation.read(this.#holdings.readable(), this.#options.maxBytes)
      if (records.length > 0) return records
      const left = deadline - environment.monotonic()
      if (left <= 0) return []
      await this.#signal.wait(left, signal)
    }
  }

  async seek(place: TopicPartition, at: StartAt | 'committed'): Promise<void> {
    this.#assertOpen()
    const cursor = this.#holdings.cursor(place)
    if (!cursor) throw this.#notOwner(place)
    cursor.seek(at === 'committed' ? this.#committed(cursor) : at)
    this.#signal.raise()
  }

  pause(partitions: readonly TopicPartition[]): void {
    this.#setPaused(partitions, true)
  }

  resume(partitions: readonly TopicPartition[]): void {
    this.#setPaused(partitions, false)
    this.#signal.raise()
  }

  async commit(positions: readonly (TopicPartition & { readonly position: Position })[]): Promise<void> {
    this.#assertOpen()
    for (const { position } of positions) parsePosition(position)
    await this.#connection.transaction(() => {
      this.#assertOpen()
      for (const { topic, partition, position } of positions) {
        const cursor = this.#holdings.cursor({ topic, partition })
        // Looked up here and now: a process that was suspended finds that another one holds it.
        if (!cursor || !this.#member.holds(partition)) throw this.#notOwner({ topic, partition })
        this.#connection.sql.store.run(this.#options.group, cursor.topicId, partition, position)
      }
    })
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#leave())
  }

  async #leave(): Promise<void> {
    this.#timer?.cancel()
    this.#stopListening?.()
    this.#holdings.close()
    this.#signal.raise()
    // Without a word the others learn it from the silence.
    if (!this.#connection.closed) await this.#member.leave().catch(() => {})
    await this.#beating
    this.#connection.news.tell()
  }

  #onNews(): void {
    try {
      // Of the group only its own changes are worth a look; records are read by whoever waits for them.
      if (!this.#connection.closed && this.#member.version() !== this.#version) this.#beat()
    } catch {
      // The reader meets it.
    }
    this.#signal.raise()
  }

  /** A heartbeat now, or right after the one under way. */
  #beat(): void {
    if (this.#closed || this.#connection.closed) return
    this.#beatAgain = true
    if (!this.#isBeating) this.#beating = this.#keepUp()
  }

  async #keepUp(): Promise<void> {
    let delay = this.#interval
    this.#isBeating = true
    while (this.#beatAgain && !this.#closed) {
      this.#beatAgain = false
      try {
        await this.#lookAtGroup()
        this.#failure = undefined
      } catch (error) {
        // A lock that is held too long is no reason to give up: the session is longer than one beat.
        if (!classify(error).retryable) this.#failure = error
        delay = Math.min(delay, 250)
      }
    }
    this.#isBeating = false
    this.#signal.raise()
    this.#schedule(delay)
  }

  async #lookAtGroup(): Promise<void> {
    for (;;) {
      if (!this.#joined) await this.#member.join()
      this.#joined = true
      const released = this.#holdings.released
      const standing = await this.#member.beat(released)
      if (this.#closed) return
      if (standing) {
        this.#version = standing.version
        this.#holdings.update(standing, released)
        if (released.length > 0) this.#connection.news.tell()
        return
      }
      this.#joined = false
      this.#holdings.loseAll()
      this.#signal.raise()
    }
  }

  #schedule(delay: number): void {
    this.#timer?.cancel()
    if (this.#closed) return
    this.#timer = this.#connection.environment.timer(delay, () => this.#beat(), true)
  }

  get #interval(): number {
    return Math.min(longestBeat, this.#options.sessionTimeout / 4)
  }

  #open(unit: number): Cursor[] {
    return this.#member.topics
      .filter(({ partitions }) => unit < partitions)
      .map(topic => new Cursor(this.#connection, topic, unit))
  }

  #committed({ topicId, partition }: Cursor): StartAt {
    const { sql } = this.#connection
    const row = this.#connection.snapshot(() => sql.committed.get(this.#options.group, topicId, partition))
    return row ? { after: (row as { position: string }).position } : 'earliest'
  }

  #setPaused(partitions: readonly TopicPartition[], paused: boolean): void {
    for (const place of partitions) {
      const cursor = this.#holdings.cursor(place)
      if (cursor) cursor.paused = paused
    }
  }

  #throwFailure(): void {
    if (this.#failure === undefined) return
    const failure = this.#failure
    // Tried again, and told again if it fails again.
    this.#beat()
    throw failure
  }

  #assertOpen(): void {
    if (this.#closed || this.#connection.closed) throw closedError('reader')
  }

  #notOwner({ topic, partition }: TopicPartition): Error {
    return fileError('not-owner', `this member of group '${this.#options.group}' does not hold ${topic}/${partition}`)
  }
}
