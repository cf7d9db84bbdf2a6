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
  ReceiveOptions,
  StartAt,
  TopicPartition
} from '../spec/index.ts'
import { openPlace, type Place } from './places.ts'
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
  readonly #partitions: number
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
    const units = Array.from({ length: partitions }, (_, partition) => String(partition))
    this.#group = new LeaseGroup(
      store,
      environment,
      options.group,
      uuidv7(environment),
      options.sessionTimeout,
      units,
      {
        taken: unit => this.#push({ kind: 'partitions-assigned', partitions: this.#placesOf(unit) }),
        asked: unit => this.#revoke(unit, environment.monotonic() + options.sessionTimeout),
        lost: unit => this.#revoke(unit, 0),
        failed: error => {
          this.#failure ??= error
          this.#signal.raise()
        }
      }
    )
  }

  async receive({ wait, signal }: ReceiveOptions): Promise<readonly LogEvent[]> {
    const deadline = this.#environment.monotonic() + wait
    for (;;) {
      if (this.#closed) throw new StreamError('closed', 'the reader is closed')
      if (this.#failure) throw this.#failure
      const events = this.#events.splice(0)
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
    const place = await openPlace(this.#adapter, this.#environment, {
      ...at,
      group: this.#options.group,
      from,
      // Each place holds at most one batch: together they stay about within the bound.
      maxBytes: Math.max(
        64 * 1024,
        Math.floor(this.#options.maxBytes / (this.#partitions * this.#options.topics.length))
      ),
      changed: () => this.#signal.raise(),
      failed: error => {
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
    if (this.#adapter.capabilities.positions === 'log')
      return this.#store.storePositions(this.#options.group, positions)
    await Promise.all(positions.map(position => this.#places.get(id(position))?.done(position.position)))
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await Promise.all([...this.#places.values()].map(place => place.close()))
    await this.#group.close()
    this.#signal.raise()
  }

  #take(place: Place): LogEvent[] {
    if (this.#paused.has(id(place))) return []
    const batch = place.take()
    if (!batch) return []
    const { topic, partition } = place
    return [{ kind: 'records', topic, partition, records: batch, behind: undefined }]
  }

  #revoke(unit: string, deadline: number): void {
    const partitions = this.#placesOf(unit)
    let released = false
    const letGo = async (): Promise<void> => {
      await Promise.all(partitions.map(place => this.#drop(place)))
      if (deadline > 0) await this.#group.release(unit)
    }
    const release = (): void => {
      if (released) return
      released = true
      letGo().catch(() => {}) // the lease expires by itself
    }
    // No more records of it: what is handed over from now on would only be dropped.
    for (const place of partitions) this.#paused.add(id(place))
    if (deadline === 0) release()
    this.#push({ kind: 'partitions-revoked', partitions, deadline, release })
  }

  async #drop(at: TopicPartition): Promise<void> {
    const place = this.#places.get(id(at))
    this.#places.delete(id(at))
    this.#paused.delete(id(at))
    await place?.close()
  }

  async #committed({ topic, partition }: TopicPartition): Promise<StartAt> {
    if (this.#adapter.capabilities.positions === 'none') return 'earliest'
    const position = (await this.#store.positions(this.#options.group, topic)).get(partition)
    return position === undefined ? 'earliest' : { after: position }
  }

  #placesOf(unit: string): TopicPartition[] {
    return this.#options.topics.map(topic => ({ topic, partition: Number(unit) }))
  }

  #push(event: LogEvent): void {
    this.#events.push(event)
    this.#signal.raise()
  }

  #assertHeld({ topic, partition }: TopicPartition): void {
    if (!this.#closed && this.#group.holds(String(partition))) return
    throw new StreamError(
      'not-owner',
      `this reader of group '${this.#options.group}' does not hold ${topic}/${partition}`
    )
  }
}

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
