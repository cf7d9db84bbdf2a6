import { uuidv7, type Environment } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'
import type { Position } from '../core/record.ts'
import { Signal } from '../core/signal.ts'
import { LeaseGroup, type LeaseStore, type PositionStore } from '../exactly-once/index.ts'
import type {
  AnyAdapter,
  LogEvent,
  LogReader,
  LogReaderOptions,
  PartitionsAssigned,
  ReceiveOptions,
  StartAt,
  TopicPartition
} from '../spec/index.ts'
import { foundPosition } from './found-positions.ts'
import { openPlace, type Place } from './places.ts'
import { TopicGrowth } from './topic-growth.ts'
import { ensureGroup } from './topics.ts'

/**
 * A consumer group for brokers that have none: partitions are leases in the client's store, each read by a partition
 * reader, or by a subscription where the backend is a queue. To the front it is a log reader like any other.
 */
export class LeasedReader implements LogReader {
  readonly #adapter: AnyAdapter
  readonly #environment: Environment
  readonly #store: LeaseStore & PositionStore
  readonly #options: LogReaderOptions
  readonly #group: LeaseGroup
  readonly #signal: Signal
  readonly #events: LogEvent[] = []
  readonly #places = new Map<string, Place>()
  readonly #paused = new Set<string>()
  /** What the front knows to be its own: from the assignment it has received to the loss it has received. */
  readonly #told = new Set<string>()
  /** How to let go of what is being revoked. */
  readonly #revoking = new Map<string, () => void>()
  readonly #growth: TopicGrowth
  /** When a newer owner was met, by partition: monotonic ms. */
  readonly #fenced = new Map<number, number[]>()
  #partitions: number
  readonly #scope: string
  #failure: unknown
  #closed = false

  /** @param partitions of each of the topics */
  constructor(
    adapter: AnyAdapter,
    environment: Environment,
    store: LeaseStore & PositionStore,
    options: LogReaderOptions,
    partitions: number
  ) {
    this.#adapter = adapter
    this.#environment = environment
    this.#store = store
    this.#options = options
    this.#partitions = partitions
    this.#signal = new Signal(environment)
    // Readers of other topics share out partitions of their own, though they have the name of the group in common.
    this.#scope = JSON.stringify([options.group, ...options.topics.toSorted()])
    const { sessionTimeout, topics } = options
    this.#group = new LeaseGroup(
      store,
      environment,
      this.#scope,
      uuidv7(environment),
      sessionTimeout,
      unitsOf(partitions),
      {
        taken: unit => this.#push({ kind: 'partitions-assigned', partitions: this.#placesOf(unit) }),
        asked: unit => this.#revoke(unit, environment.monotonic() + sessionTimeout),
        lost: unit => this.#revoke(unit, 0),
        failed: error => {
          this.#failure ??= error
          this.#signal.raise()
        }
      }
    )
    this.#growth = new TopicGrowth(adapter, environment, topics, partitions, sessionTimeout, grown => {
      this.#partitions = grown
      this.#group.setUnits(unitsOf(grown))
    })
  }

  async receive({ wait, signal }: ReceiveOptions): Promise<readonly LogEvent[]> {
    const deadline = this.#environment.monotonic() + wait
    for (;;) {
      if (this.#closed) throw new StreamError('closed', 'the reader is closed')
      if (this.#failure) throw this.#failure
      const events = this.#events.splice(0)
      for (const event of events) this.#tell(event)
      if (events.length === 0) for (const place of this.#places.values()) events.push(...this.#take(place))
      if (events.length > 0) return events
      const left = deadline - this.#environment.monotonic()
      if (left <= 0) return []
      await this.#signal.wait(left, signal)
    }
  }

  async seek(at: TopicPartition, start: StartAt | 'committed'): Promise<void> {
    this.#assertHeld(at)
    const from = start === 'committed' ? await this.#committed(at) : start
    await this.#drop(at)
    const epoch = this.#group.epochOf(String(at.partition))
    const place = await openPlace(this.#adapter, this.#environment, {
      ...at,
      group: this.#options.group,
      ...(epoch !== undefined && { epoch }),
      from,
      // Each place holds at most one batch: together they stay about within the bound.
      maxBytes: Math.max(
        64 * 1024,
        Math.floor(this.#options.maxBytes / (this.#partitions * this.#options.topics.length))
      ),
      changed: () => this.#signal.raise(),
      failed: error => {
        if (this.#isPassing(at, error)) return
        this.#failure ??= error
        this.#signal.raise()
      }
    })
    if (this.#closed || !this.#group.holds(String(at.partition))) return place.close()
    this.#places.set(id(at), place)
  }

  pause(partitions: readonly TopicPartition[]): void {
    for (const place of partitions) this.#paused.add(id(place))
  }

  resume(partitions: readonly TopicPartition[]): void {
    for (const place of partitions) this.#paused.delete(id(place))
    this.#signal.raise()
  }

  async commit(positions: readonly (TopicPartition & { readonly position: Position })[]): Promise<void> {
    for (const position of positions) this.#assertHeld(position)
    if (this.#adapter.capabilities.positions === 'log') {
      const names = [...new Set(positions.map(({ partition }) => String(partition)))]
      const holding = { scope: this.#scope, owner: this.#group.owner, names }
      if (!(await this.#store.storePositions(this.#options.group, positions, holding))) throw this.#notOwner(positions)
      return
    }
    await Promise.all(positions.map(position => this.#places.get(id(position))?.done(position.position)))
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#growth.close()
    await Promise.all([...this.#places.values()].map(place => place.close()))
    await this.#group.close()
    this.#signal.raise()
  }

  #take(place: Place): LogEvent[] {
    if (this.#paused.has(id(place))) return []
    const batch = place.take()
    if (!batch) return []
    const { topic, partition } = place
    return [{ kind: 'records', topic, partition, ...batch }]
  }

  #revoke(unit: string, deadline: number): void {
    const partitions = this.#placesOf(unit)
    const unheard = this.#events.findIndex(event => event.kind === 'partitions-assigned' && isOf(event, unit))
    if (unheard >= 0) {
      this.#events.splice(unheard, 1)
      return void this.#group.release(unit)
    }
    const pending = this.#revoking.get(unit)
    // It is lost while the front drains it: there is nothing left to hand over.
    if (pending) return pending()
    const release = (): void => {
      if (this.#revoking.get(unit) !== release) return
      this.#revoking.delete(unit)
      timer.cancel()
      for (const place of partitions) this.#told.delete(id(place))
      const dropped = Promise.all(partitions.map(place => this.#drop(place)))
      void dropped.catch(() => {}).then(() => this.#group.release(unit))
    }
    this.#revoking.set(unit, release)
    const left = deadline === 0 ? 0 : deadline - this.#environment.monotonic()
    const timer = this.#environment.timer(left, release, true)
    // No more records of it: what is handed over from now on would only be dropped.
    for (const place of partitions) this.#paused.add(id(place))
    if (deadline === 0) release()
    this.#push({ kind: 'partitions-revoked', partitions, deadline, release })
  }

  /** From here on the front knows: what it does next belongs to this life of the partition. */
  #tell(event: LogEvent): void {
    if (event.kind === 'partitions-assigned') for (const place of event.partitions) this.#told.add(id(place))
  }

  /**
   * A newer owner has taken a partition, before we have seen that in the table of leases: then it is lost, as if we had.
   * When that goes on, somebody takes it who does not heed the leases.
   */
  #isPassing({ partition }: TopicPartition, error: unknown): boolean {
    if (this.#adapter.classify(error).code !== 'fenced') return false
    const now = this.#environment.monotonic()
    const times = [...(this.#fenced.get(partition) ?? []), now].filter(time => time > now - fencedWindow)
    this.#fenced.set(partition, times)
    if (times.length > mostFenced) return false
    if (!this.#revoking.has(String(partition))) this.#revoke(String(partition), 0)
    return true
  }

  async #drop(at: TopicPartition): Promise<void> {
    const place = this.#places.get(id(at))
    this.#places.delete(id(at))
    this.#paused.delete(id(at))
    await place?.close()
  }

  async #committed({ topic, partition }: TopicPartition): Promise<StartAt> {
    if (this.#adapter.capabilities.positions === 'none') return 'earliest'
    const { group } = this.#options
    const position = await foundPosition(this.#adapter, this.#store, group, topic, partition)
    return position === undefined ? 'earliest' : { after: position }
  }

  #placesOf(unit: string): TopicPartition[] {
    return this.#options.topics.map(topic => ({ topic, partition: Number(unit) }))
  }

  #push(event: LogEvent): void {
    this.#events.push(event)
    this.#signal.raise()
  }

  #assertHeld(at: TopicPartition): void {
    if (this.#closed) throw new StreamError('closed', 'the reader is closed')
    if (!this.#told.has(id(at)) || !this.#group.holds(String(at.partition))) throw this.#notOwner([at])
  }

  #notOwner(places: readonly TopicPartition[]): StreamError {
    const names = places.map(({ topic, partition }) => `${topic}/${partition}`)
    return new StreamError(
      'not-owner',
      `this reader of group '${this.#options.group}' does not hold ${names.join(', ')}`
    )
  }
}

/** So often may a newer owner be met within so many ms before that is an error. */
const mostFenced = 5
const fencedWindow = 60_000

const unitsOf = (partitions: number): string[] =>
  Array.from({ length: partitions }, (_, partition) => String(partition))
const isOf = ({ partitions }: PartitionsAssigned, unit: string): boolean => String(partitions[0]?.partition) === unit
const id = ({ topic, partition }: TopicPartition): string => `${partition} ${topic}`

/** The group of a broker that has groups, else one by leases in the store. */
export async function openGroupReader(
  adapter: AnyAdapter,
  environment: Environment,
  store: () => Promise<LeaseStore & PositionStore>,
  options: LogReaderOptions,
  partitions: number
): Promise<LogReader> {
  if (adapter.logReader) return adapter.logReader(options)
  // For every partition, whoever holds it: nothing that is written from now on is missed.
  for (const topic of options.topics) await ensureGroup(adapter, environment, options.group, topic)
  return new LeasedReader(adapter, environment, await store(), options, partitions)
}
