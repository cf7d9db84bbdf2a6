import type { Environment } from '../../core/environment.ts'
import { type Position, type RawRecord, sizeOf } from '../../core/record.ts'
import type {
  LogEvent,
  LogReader,
  LogReaderOptions,
  ReceiveOptions,
  StartAt,
  TopicPartition
} from '../../spec/log-reader.ts'
import { PullQueue } from '../shared/pull-queue.ts'
import type { FindCodec } from './compression.ts'
import { closedError, type Connection } from './connection.ts'
import { explain } from './errors.ts'
import { eventOf, type FetchedSet } from './fetched-set.ts'
import { Fetcher, type ReadState } from './fetcher.ts'
import { GroupMember } from './group-member.ts'
import { type Holding, Holdings } from './holdings.ts'
import { commitPositions } from './commit.ts'
import type { Orphans } from './orphans.ts'
import { committedOffsets, earliest, listOffset, offsetOf } from './offsets.ts'
import { countWithin, decodeRecords } from './records.ts'

export interface LogReaderContext {
  /** For records, offsets and commits. */
  readonly data: Connection
  /** For joining and heartbeats. */
  readonly membership: Connection
  readonly environment: Environment
  readonly findCodec: FindCodec
  readonly timeout: number
  readonly rebalanceTimeout: number
  readonly heartbeatInterval: number
  readonly longestTransaction: number
  readonly orphans: Orphans
}

type Queued =
  | { readonly kind: 'event'; readonly event: LogEvent }
  | { readonly kind: 'failure'; readonly error: unknown }
  | FetchedSet

/** Events of one `receive`: a handful. */
const mostEvents = 8

/** A member of a consumer group that hands out records when it is asked. */
export class KafkaLogReader implements LogReader {
  readonly #options: LogReaderOptions
  readonly #context: LogReaderContext
  readonly #queue: PullQueue<Queued>
  readonly #fetcher: Fetcher
  readonly #member: GroupMember
  readonly #holdings: Holdings
  readonly #commits = new Set<Promise<void>>()
  #closing: Promise<void> | undefined

  constructor(options: LogReaderOptions, context: LogReaderContext) {
    this.#options = options
    this.#context = context
    const { environment, data, timeout, rebalanceTimeout, heartbeatInterval } = context
    const { group, topics, sessionTimeout, maxBytes } = options
    this.#queue = new PullQueue(environment, maxBytes)
    const onFailed = (error: unknown): void => {
      this.#queue.fail(error)
      this.#fetcher.stop()
    }
    const onPassing = (error: unknown): void => this.#queue.push({ kind: 'failure', error }, 0)
    this.#fetcher = new Fetcher({
      connection: data,
      environment,
      room: () => this.#queue.room,
      maxBytes,
      timeout,
      patience: sessionTimeout,
      longestTransaction: context.longestTransaction,
      onRecords: (state, set, highWatermark) =>
        this.#queue.push({ kind: 'set', state, set, highWatermark }, set.bytes.byteLength),
      onPartitionFailed: onPassing,
      onPassing,
      onFailed
    })
    this.#member = new GroupMember({
      connection: context.membership,
      environment,
      group,
      topics,
      sessionTimeout,
      rebalanceTimeout,
      heartbeatInterval,
      memberId: context.orphans.adopt(group),
      held: () => this.#holdings.all(),
      onAssigned: partitions => this.#holdings.assign(partitions),
      onLost: () => this.#holdings.lose(),
      onPassing,
      onFailed
    })
    this.#holdings = new Holdings({
      environment,
      group,
      patience: rebalanceTimeout,
      onHeld: holding => this.#fetcher.add(holding),
      onGone: gone => this.#silence(gone),
      onEvent: event => this.#announce(event),
      onReleased: () => this.#member.rejoin()
    })
  }

  /** Rejects with `unknown-topic`; joins the group in the background. */
  async open(): Promise<this> {
    await this.#context.data.loadTopics(this.#options.topics)
    this.#member.start()
    return this
  }

  async receive({ wait, signal }: ReceiveOptions): Promise<readonly LogEvent[]> {
    const { environment } = this.#context
    const started = environment.monotonic()
    for (;;) {
      if (this.#closing) throw closedError()
      await this.#queue.ready(Math.max(0, wait - (environment.monotonic() - started)), signal)
      const events = await this.#take()
      this.#fetcher.pump()
      if (events.length > 0 || environment.monotonic() - started >= wait) return events
    }
  }

  async #take(): Promise<readonly LogEvent[]> {
    const events: LogEvent[] = []
    for (let room = this.#options.maxBytes; events.length < mostEvents && room > 0;) {
      const [queued] = this.#queue.take(1)
      if (!queued) break
      try {
        if (queued.kind === 'failure') throw queued.error
        if (queued.kind === 'event') events.push(queued.event)
        else {
          const records = await this.#decode(queued)
          if (records.length === 0) continue
          const count = countWithin(records, room)
          if (count < records.length) {
            // The first of them may be too much for what is left, but not for a receive of its own.
            const taken = events.length > 0 && sizeOf(records[0]!) > room ? 0 : count
            this.#queue.push({ ...queued, decoded: records.slice(taken) }, queued.set.bytes.byteLength, true)
            if (taken > 0) events.push(eventOf(queued, records.slice(0, taken), false))
            break
          }
          events.push(eventOf(queued, records, true))
          for (const record of records) room -= sizeOf(record)
        }
      } catch (error) {
        if (events.length === 0) throw error
        // What came before it is delivered first.
        this.#queue.push({ kind: 'failure', error }, 0, true)
        break
      }
    }
    return events
  }

  async #decode({ state, set, decoded }: FetchedSet): Promise<readonly RawRecord[]> {
    if (decoded) return decoded
    const { turn } = state
    try {
      const records = await decodeRecords(set, this.#context.findCodec)
      // Sought, paused or revoked in the meantime: these are not to be delivered.
      return state.turn === turn ? records : []
    } catch (error) {
      // Silent until it is sought: going on would leave records out.
      state.offset = undefined
      state.turn++
      this.#drop(other => other === state)
      throw error
    }
  }

  async seek(place: TopicPartition, at: StartAt | 'committed'): Promise<void> {
    const holding = this.#holding(place, 'seek')
    const sought = ++holding.sought
    holding.turn++
    this.#drop(state => state === holding)
    holding.offset = undefined
    const offset = await this.#offsetOf(place, at)
    // It may have been revoked in the meantime.
    if (this.#holding(place, 'seek') !== holding) return
    if (holding.sought !== sought) return
    holding.offset = holding.delivered = offset
    this.#fetcher.changed()
    this.#fetcher.pump()
  }

  async #offsetOf(place: TopicPartition, at: StartAt | 'committed'): Promise<number> {
    const { data } = this.#context
    const { topic, partition } = place
    const what = `seeking ${topic}/${partition}`
    try {
      if (at !== 'committed') return await offsetOf(data, place, at, true)
      await data.loadTopics([topic])
      const next = (await committedOffsets(data, this.#options.group, topic))[partition] ?? -1
      if (next < 0) return await listOffset(data, place, earliest, true)
      return await offsetOf(data, place, { after: String(next - 1) }, true)
    } catch (error) {
      throw explain(error, what)
    }
  }

  pause(partitions: readonly TopicPartition[]): void {
    for (const place of partitions) {
      const holding = this.#holdings.find(place)
      if (!holding || holding.paused) continue
      holding.paused = true
      holding.turn++
      if (holding.offset === undefined) continue
      this.#drop(state => state === holding)
      holding.offset = holding.delivered
    }
  }

  resume(partitions: readonly TopicPartition[]): void {
    for (const place of partitions) {
      const holding = this.#holdings.find(place)
      if (holding) holding.paused = false
    }
    this.#fetcher.changed()
    this.#fetcher.pump()
  }

  commit(positions: readonly (TopicPartition & { readonly position: Position })[]): Promise<void> {
    const committing = this.#commit(positions)
    this.#commits.add(committing)
    const forget = (): void => void this.#commits.delete(committing)
    committing.then(forget, forget)
    return committing
  }

  async #commit(positions: readonly (TopicPartition & { readonly position: Position })[]): Promise<void> {
    if (positions.length === 0) return
    await commitPositions(positions, {
      connection: this.#context.data,
      member: this.#member,
      group: this.#options.group,
      check: place => void this.#holding(place, 'commit')
    })
  }

  #holding(place: TopicPartition, what: string): Holding {
    if (this.#closing) throw closedError()
    return this.#holdings.need(place, what)
  }

  /**
   * Before the records that are queued, so that the front begins no work that it must hand over; behind the other events, so
   * that nothing is revoked before it was assigned.
   */
  #announce(event: LogEvent): void {
    const before = this.#queue.remove(({ kind }) => kind !== 'set')
    this.#queue.push({ kind: 'event', event }, 0, true)
    for (const queued of before.toReversed()) this.#queue.push(queued, 0, true)
  }

  #silence(gone: readonly Holding[]): void {
    for (const holding of gone) this.#fetcher.remove(holding)
    const states = new Set<ReadState>(gone)
    this.#drop(state => states.has(state))
  }

  #drop(picks: (state: ReadState) => boolean): void {
    this.#queue.remove(queued => queued.kind === 'set' && picks(queued.state))
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #close(): Promise<void> {
    const { data, membership, environment, orphans } = this.#context
    this.#queue.fail(closedError())
    this.#fetcher.stop()
    this.#holdings.close()
    await Promise.allSettled(this.#commits)
    // First of all it joins no more: told by a heartbeat that it is unknown, it would become a new member that nobody ends.
    const stopped = this.#member.stop()
    await orphans.leave(this.#options.group, this.#member, stopped, data, environment)
    await Promise.all([stopped, membership.close()])
    await data.close()
  }
}
