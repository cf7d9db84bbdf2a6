import { abortedError, uuidv7, type Timer } from '../../core/environment.ts'
import type { Position } from '../../core/record.ts'
import type { LogEvent, LogReader, LogReaderOptions, ReceiveOptions, StartAt, TopicPartition } from '../../spec/index.ts'
import type { FileConnection } from './client.ts'
import { Cursor, parsePosition } from './cursor.ts'
import { classify, closedError, fileError } from './errors.ts'
import { GroupMember } from './group.ts'
import { Signal } from '../../core/signal.ts'

/** Most bytes of one `receive`: what is read but not processed is bounded by the front. */
const chunk = 1024 * 1024

/** While partitions are changing hands, the group is looked at this often, ms. */
const busyBeat = 50

/** A member of a consumer group. Holds no records: they are read when they are asked for. */
export class FileLogReader implements LogReader {
  readonly #connection: FileConnection
  readonly #options: LogReaderOptions
  readonly #member: GroupMember
  readonly #cursors = new Map<string, Cursor>()
  /** Units held and not yet asked back. */
  #owned = new Set<number>()
  /** Asked back, not yet released. */
  readonly #leaving = new Set<number>()
  readonly #events: LogEvent[] = []
  readonly #signal: Signal
  readonly #stopListening: () => void
  #timer: Timer | undefined
  #version = -1
  #turn = 0
  #failure: unknown
  #closed = false

  /** Joins the group. Throws `unknown-topic`. */
  constructor(connection: FileConnection, options: LogReaderOptions) {
    this.#connection = connection
    this.#options = options
    const units = Math.max(...options.topics.map(topic => connection.topic(topic).partitions))
    this.#member = new GroupMember(connection, options.group, uuidv7(connection.environment), options.sessionTimeout, units)
    this.#signal = new Signal(connection.environment)
    this.#look()
    connection.changed()
    this.#stopListening = connection.onChange(() => this.#onChange())
  }

  async receive({ wait, signal }: ReceiveOptions): Promise<readonly LogEvent[]> {
    const deadline = this.#connection.environment.monotonic() + wait
    for (;;) {
      this.#assertOpen()
      if (signal?.aborted) throw abortedError(signal)
      if (this.#failure) throw this.#takeFailure()
      const events = this.#events.length > 0 ? this.#events.splice(0) : this.#read()
      if (events.length > 0) return events
      const left = deadline - this.#connection.environment.monotonic()
      if (left <= 0) return []
      await this.#signal.wait(left, signal)
    }
  }

  async seek(place: TopicPartition, at: StartAt | 'committed'): Promise<void> {
    this.#assertOpen()
    this.#cursor(place).seek(at === 'committed' ? this.#committed(place) : at)
    this.#signal.raise()
  }

  pause(partitions: readonly TopicPartition[]): void {
    for (const place of partitions) this.#setPaused(place, true)
  }

  resume(partitions: readonly TopicPartition[]): void {
    for (const place of partitions) this.#setPaused(place, false)
    this.#signal.raise()
  }

  async commit(positions: readonly (TopicPartition & { readonly position: Position })[]): Promise<void> {
    this.#assertOpen()
    const { sql } = this.#connection
    // Ownership is looked up inside the transaction: a process that was suspended meanwhile finds it gone.
    this.#connection.transaction(() => {
      for (const { topic, partition, position } of positions) {
        parsePosition(position)
        if (!this.#cursors.has(id({ topic, partition })) || !this.#member.owns(partition)) throw this.#notOwner({ topic, partition })
        sql.commit.run(this.#options.group, this.#connection.topic(topic).id, partition, position)
      }
    })
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.cancel()
    this.#stopListening()
    if (!this.#connection.closed) this.#member.leave()
    this.#signal.raise()
  }

  /** Records of the partitions in turn, so that none starves. */
  #read(): LogEvent[] {
    const cursors = [...this.#cursors.values()]
    const events: LogEvent[] = []
    let room = Math.min(chunk, this.#options.maxBytes)
    for (let index = 0; index < cursors.length && room > 0; index++) {
      const cursor = cursors[(this.#turn + index) % cursors.length]!
      if (cursor.paused || this.#leaving.has(cursor.partition)) continue
      const { records, behind } = cursor.read(room)
      if (records.length === 0) continue
      for (const record of records) room -= (record.key?.byteLength ?? 0) + (record.value?.byteLength ?? 0) + 96
      events.push({ kind: 'records', topic: cursor.topic, partition: cursor.partition, records, behind })
    }
    this.#turn++
    return events
  }

  #onChange(): void {
    if (this.#closed || this.#connection.closed) return this.#signal.raise()
    // Only a change of the group is worth a look; new records are read by whoever waits for them.
    if (this.#member.version() !== this.#version) this.#beat()
    this.#signal.raise()
  }

  #beat(): void {
    try {
      this.#look()
    } catch (error) {
      // A lock held too long is no reason to give up: the session is longer than one beat.
      if (classify(error).retryable) this.#schedule(busyBeat)
      else this.#failure = error
      this.#signal.raise()
    }
  }

  #look(): void {
    const turn = this.#member.look()
    this.#version = this.#member.version()
    if (turn.expired) this.#lose([...this.#owned, ...this.#leaving])
    const taken = [...turn.owned].filter(unit => !this.#owned.has(unit) && !this.#leaving.has(unit))
    const asked = [...turn.wished].filter(unit => this.#owned.has(unit))
    const gone = [...this.#owned, ...this.#leaving].filter(unit => !turn.owned.has(unit))
    if (gone.length > 0) this.#lose(gone)
    if (asked.length > 0) this.#giveUp(asked)
    if (taken.length > 0) this.#take(taken)
    this.#schedule(turn.unsettled ? busyBeat : Math.min(1_000, this.#options.sessionTimeout / 4))
  }

  #schedule(delay: number): void {
    this.#timer?.cancel()
    this.#timer = this.#connection.environment.timer(delay, () => this.#closed || this.#connection.closed || this.#beat(), true)
  }

  #take(units: readonly number[]): void {
    const partitions = this.#places(units)
    for (const unit of units) this.#owned.add(unit)
    for (const { topic, partition } of partitions) this.#cursors.set(id({ topic, partition }), new Cursor(this.#connection, topic, partition))
    this.#push({ kind: 'partitions-assigned', partitions })
  }

  #giveUp(units: readonly number[]): void {
    for (const unit of units) {
      this.#owned.delete(unit)
      this.#leaving.add(unit)
    }
    const deadline = this.#connection.environment.monotonic() + this.#options.sessionTimeout
    const release = (): void => {
      const still = units.filter(unit => this.#leaving.delete(unit))
      this.#forget(still)
      if (still.length > 0 && !this.#closed && !this.#connection.closed) this.#member.free(still)
    }
    this.#push({ kind: 'partitions-revoked', partitions: this.#places(units), deadline, release })
  }

  #lose(units: readonly number[]): void {
    const partitions = this.#places(units)
    this.#forget(units)
    for (const unit of units) {
      this.#owned.delete(unit)
      this.#leaving.delete(unit)
    }
    if (partitions.length > 0) this.#push({ kind: 'partitions-revoked', partitions, deadline: 0, release: () => {} })
  }

  #forget(units: readonly number[]): void {
    for (const place of this.#places(units)) this.#cursors.delete(id(place))
  }

  #push(event: LogEvent): void {
    this.#events.push(event)
    this.#signal.raise()
  }

  #places(units: readonly number[]): TopicPartition[] {
    return units.flatMap(partition =>
      this.#options.topics
        .filter(topic => partition < (this.#connection.findTopic(topic)?.partitions ?? 0))
        .map(topic => ({ topic, partition }))
    )
  }

  #committed({ topic, partition }: TopicPartition): StartAt {
    const row = this.#connection.sql.committed.get(this.#options.group, this.#connection.topic(topic).id, partition)
    return row ? { after: (row as { position: string }).position } : 'earliest'
  }

  #cursor(place: TopicPartition): Cursor {
    const cursor = this.#cursors.get(id(place))
    if (cursor) return cursor
    throw this.#notOwner(place)
  }

  #setPaused(place: TopicPartition, paused: boolean): void {
    const cursor = this.#cursors.get(id(place))
    if (cursor) cursor.paused = paused
  }

  #takeFailure(): unknown {
    const failure = this.#failure
    this.#failure = undefined
    return failure
  }

  #assertOpen(): void {
    if (this.#closed || this.#connection.closed) throw closedError('reader')
  }

  #notOwner({ topic, partition }: TopicPartition): Error {
    return fileError('not-owner', `this reader of group '${this.#options.group}' does not hold ${topic}/${partition}`)
  }
}

const id = ({ topic, partition }: TopicPartition): string => `${partition} ${topic}`
