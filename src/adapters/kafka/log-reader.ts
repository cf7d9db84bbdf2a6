import type { Environment, Timer } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
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
import { committedOffsets } from './admin.ts'
import type { FindCodec } from './compression.ts'
import { closedError, type Connection } from './connection.ts'
import { classify, explain, protocolCode } from './errors.ts'
import { Fetcher, keyOf, type ReadState } from './fetcher.ts'
import { GroupMember, within } from './group-member.ts'
import { earliest, listOffset, offsetOf } from './offsets.ts'
import { countWithin, decodeRecords, offsetAfter, type RecordSet } from './records.ts'

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
}

/** A partition that this member holds. */
interface Holding extends ReadState {
  /** Said to be revoked; held until it is released. */
  revoking: boolean
  /** Counts seeks: the last one wins. */
  sought: number
}

type Queued =
  | { readonly kind: 'event'; readonly event: LogEvent }
  | { readonly kind: 'failure'; readonly error: unknown }
  | FetchedSet

/** Records of one fetch and partition: as they came, or the rest of them that was too much for one `receive`. */
interface FetchedSet {
  readonly kind: 'set'
  readonly state: ReadState
  readonly set: RecordSet
  readonly decoded?: readonly RawRecord[]
  readonly highWatermark: number
}

const fresh = {
  offset: undefined,
  delivered: 0,
  paused: false,
  turn: 0,
  failingSince: undefined,
  revoking: false,
  sought: 0
}

/** Events of one `receive`: a handful. */
const mostEvents = 8

/** A member of a consumer group that hands out records when it is asked. */
export class KafkaLogReader implements LogReader {
  readonly #options: LogReaderOptions
  readonly #context: LogReaderContext
  readonly #queue: PullQueue<Queued>
  readonly #fetcher: Fetcher
  readonly #member: GroupMember
  readonly #holdings = new Map<string, Holding>()
  /** What the group last gave this member, also what it has not released from before. */
  #assigned: readonly TopicPartition[] = []
  readonly #deadlines = new Set<Timer>()
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
    this.#fetcher = new Fetcher({
      connection: data,
      environment,
      room: () => this.#queue.room,
      maxBytes,
      timeout,
      patience: sessionTimeout,
      onRecords: (state, set, highWatermark) =>
        this.#queue.push({ kind: 'set', state, set, highWatermark }, set.bytes.byteLength),
      onPartitionFailed: error => this.#queue.push({ kind: 'failure', error }, 0),
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
      held: () => [...this.#holdings.values()],
      onAssigned: partitions => this.#onAssigned(partitions),
      onLost: () => this.#onLost(),
      onFailed
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
            if (taken > 0) events.push(eventOf(queued, records.slice(0, taken)))
            break
          }
          events.push(eventOf(queued, records))
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
    if (this.#closing) throw closedError()
    if (this.#holdings.get(keyOf(place)) !== holding) throw this.#notOwner(place, 'seek')
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
      const holding = this.#holdings.get(keyOf(place))
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
      const holding = this.#holdings.get(keyOf(place))
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
    const { group } = this.#options
    const topics = Array.from(
      Map.groupBy(positions, ({ topic }) => topic),
      ([topic, places]) => ({
        topic,
        partitions: places.map(({ partition, position }) => ({
          partition,
          offset: String(offsetAfter(position)),
          metadata: ''
        }))
      })
    )
    for (;;) {
      for (const place of positions) this.#holding(place, 'commit')
      const { memberId, generation } = this.#member.membership
      try {
        const coordinator = await this.#context.data.coordinator('group', group)
        const request = { groupId: group, memberId, groupGenerationId: generation, topics }
        await coordinator.offsetCommit(request)
        return
      } catch (error) {
        const code = protocolCode(error)
        // While the group changes, a member that still holds the partitions must only wait for its new generation.
        const moved = this.#member.membership.generation !== generation || !this.#member.stable
        if ((code !== 22 && code !== 27) || !moved) {
          if (classify(error).code === 'connection') this.#context.data.forgetCoordinator('group', group)
          throw explain(error, `committing positions of group '${group}'`)
        }
      }
      await this.#member.settled()
    }
  }

  #holding(place: TopicPartition, what: string): Holding {
    if (this.#closing) throw closedError()
    const holding = this.#holdings.get(keyOf(place))
    if (!holding) throw this.#notOwner(place, what)
    return holding
  }

  #notOwner({ topic, partition }: TopicPartition, what: string): StreamError {
    return new StreamError(
      'not-owner',
      `${what} of ${topic}/${partition}: this member of group '${this.#options.group}' does not hold it`,
      { adapter: 'kafka' }
    )
  }

  #onAssigned(partitions: readonly TopicPartition[]): void {
    this.#assigned = partitions
    const keys = new Set(partitions.map(keyOf))
    const gone = [...this.#holdings.values()].filter(holding => !holding.revoking && !keys.has(keyOf(holding)))
    if (gone.length > 0) this.#revoke(gone)
    this.#hold()
  }

  /** Takes up what is assigned and not held yet. */
  #hold(): void {
    const added = this.#assigned.filter(place => !this.#holdings.has(keyOf(place)))
    if (added.length === 0) return
    for (const { topic, partition } of added) {
      const holding: Holding = { topic, partition, ...fresh }
      this.#holdings.set(keyOf(holding), holding)
      this.#fetcher.add(holding)
    }
    this.#queue.push({ kind: 'event', event: { kind: 'partitions-assigned', partitions: added } }, 0)
  }

  /** Asks the front to let go; until it does, or time is up, they are held and can be committed. */
  #revoke(gone: readonly Holding[]): void {
    const { environment, rebalanceTimeout } = this.#context
    for (const holding of gone) holding.revoking = true
    this.#silence(gone)
    let released = false
    const release = (): void => {
      if (released) return
      released = true
      timer.cancel()
      this.#deadlines.delete(timer)
      if (this.#closing) return
      for (const holding of gone)
        if (this.#holdings.get(keyOf(holding)) === holding) this.#holdings.delete(keyOf(holding))
      // The group may have given some of them back in the meantime.
      this.#hold()
      this.#member.rejoin()
    }
    const timer = environment.timer(rebalanceTimeout, release)
    this.#deadlines.add(timer)
    this.#pushRevoked(gone, environment.monotonic() + rebalanceTimeout, release)
  }

  /** The group has gone on without this member. */
  #onLost(): void {
    const gone = [...this.#holdings.values()]
    this.#assigned = []
    this.#holdings.clear()
    for (const timer of this.#deadlines) timer.cancel()
    this.#deadlines.clear()
    if (gone.length === 0) return
    this.#silence(gone)
    this.#pushRevoked(gone, 0, () => undefined)
  }

  /** Said before the records that are queued: the front shall not begin work that it must hand over. */
  #pushRevoked(gone: readonly Holding[], deadline: number, release: () => void): void {
    const partitions = gone.map(({ topic, partition }) => ({ topic, partition }))
    // Behind the events that are queued, so that nothing is revoked before it was assigned.
    const events = this.#queue.remove(({ kind }) => kind !== 'set')
    this.#queue.push({ kind: 'event', event: { kind: 'partitions-revoked', partitions, deadline, release } }, 0, true)
    for (const event of events.toReversed()) this.#queue.push(event, 0, true)
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
    const { data, membership } = this.#context
    this.#queue.fail(closedError())
    this.#fetcher.stop()
    for (const timer of this.#deadlines) timer.cancel()
    await Promise.allSettled(this.#commits)
    const { memberId } = this.#member.membership
    // By the other sockets: those of the member may be waiting for a rebalance.
    if (memberId !== '') {
      const left = data
        .coordinator('group', this.#options.group)
        .then(coordinator => coordinator.leaveGroup({ groupId: this.#options.group, memberId }))
      // A broker that cannot be reached must not hold up the end; the session runs out then.
      await within(this.#context.environment, 3_000, left).catch(() => undefined)
    }
    await Promise.all([this.#member.stop(), membership.close()])
    await data.close()
  }
}

/** What is handed over counts as delivered: a pause goes on after it. */
function eventOf({ state, set, highWatermark }: FetchedSet, records: readonly RawRecord[]): LogEvent {
  const { topic, partition } = set
  const last = Number(records.at(-1)!.position)
  state.delivered = last + 1
  return { kind: 'records', topic, partition, records, behind: Math.max(0, highWatermark - last - 1) }
}
