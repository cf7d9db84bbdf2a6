import type { Environment, Timer } from '../../core/environment.ts'
import type { LogEvent, PartitionsRevoked, TopicPartition } from '../../spec/index.ts'
import type { PartitionLog } from './partition-log.ts'
import { Waiter } from './waiters.ts'

/** Most record events of one receive. */
const handful = 8

/** A partition that a member holds, and how far it has read. */
export interface Cursor extends TopicPartition {
  readonly log: PartitionLog
  /** Offset of the next record; `undefined` until the first seek. */
  next: number | undefined
  paused: boolean
  /** Its loss has been announced: no more records. */
  revoking: boolean
  /** The front has been told of it. */
  announced: boolean
}

interface Revocation {
  readonly event: PartitionsRevoked
  cancel(): void
}

/** One reader as its group sees it. The group moves partitions, the reader collects events. */
export class Member {
  readonly client: string
  readonly topics: readonly string[]
  readonly sessionTimeout: number
  readonly environment: Environment
  readonly waiter: Waiter = new Waiter()
  /** False after it was put out of the group; the next receive joins again. */
  active = false
  sessionEnd: Timer | undefined
  #cursors: Cursor[] = []
  #events: PartitionsRevoked[] = []
  readonly #revocations = new Set<Revocation>()
  #turn = 0

  constructor(client: string, topics: readonly string[], sessionTimeout: number, environment: Environment) {
    this.client = client
    this.topics = topics
    this.sessionTimeout = sessionTimeout
    this.environment = environment
  }

  find({ topic, partition }: TopicPartition): Cursor | undefined {
    return this.#cursors.find(cursor => cursor.partition === partition && cursor.topic === topic)
  }

  grant(logs: readonly PartitionLog[]): void {
    for (const log of logs) {
      log.subscribe(this.waiter)
      const { topic, partition } = log
      this.#cursors.push({ log, topic, partition, next: undefined, paused: false, revoking: false, announced: false })
    }
    this.waiter.wake()
  }

  /** Takes back what the front has not heard of yet; true when that was all. */
  withdraw(logs: readonly PartitionLog[]): boolean {
    const cursors = this.#cursors.filter(cursor => logs.includes(cursor.log))
    if (cursors.some(cursor => cursor.announced)) return false
    this.drop(logs)
    return true
  }

  /** Announces the loss; `handOver` is called once, on release or at the deadline. */
  revoke(logs: readonly PartitionLog[], handOver: () => void): void {
    const partitions = logs.map(({ topic, partition }) => ({ topic, partition }))
    for (const cursor of this.#cursors) if (logs.includes(cursor.log)) cursor.revoking = true
    const revocation: Revocation = {
      event: {
        kind: 'partitions-revoked',
        partitions,
        deadline: this.environment.monotonic() + this.sessionTimeout,
        release: () => finish()
      },
      cancel: () => {
        timer.cancel()
        this.#revocations.delete(revocation)
      }
    }
    const finish = (): void => {
      if (!this.#revocations.has(revocation)) return
      revocation.cancel()
      handOver()
    }
    const timer = this.environment.timer(this.sessionTimeout, finish, true)
    this.#revocations.add(revocation)
    this.#events.push(revocation.event)
    this.waiter.wake()
  }

  drop(logs: readonly PartitionLog[]): void {
    for (const log of logs) log.unsubscribe(this.waiter)
    this.#cursors = this.#cursors.filter(cursor => !logs.includes(cursor.log))
  }

  /** Everything is gone at once; the front hears of it with its next receive. */
  expel(): void {
    const partitions = this.#cursors
      .filter(cursor => cursor.announced)
      .map(({ topic, partition }) => ({ topic, partition }))
    this.forgetAll()
    if (partitions.length > 0)
      this.#events = [{ kind: 'partitions-revoked', partitions, deadline: 0, release: () => {} }]
    this.waiter.wake()
  }

  forgetAll(): void {
    this.active = false
    this.sessionEnd?.cancel()
    this.sessionEnd = undefined
    for (const revocation of this.#revocations) revocation.cancel()
    this.#events = []
    this.drop(this.#cursors.map(cursor => cursor.log))
  }

  /** Losses first, so that a partition that left and came back is told in that order; then gains; then records. */
  collect(maxBytes: number): LogEvent[] {
    const events: LogEvent[] = this.#events
    this.#events = []
    const gained = this.#cursors.filter(cursor => !cursor.announced)
    if (gained.length > 0) {
      for (const cursor of gained) cursor.announced = true
      events.push({
        kind: 'partitions-assigned',
        partitions: gained.map(({ topic, partition }) => ({ topic, partition }))
      })
    }
    return events.length > 0 ? events : this.#collectRecords(maxBytes)
  }

  hasEvents(): boolean {
    return this.#events.length > 0
  }

  #collectRecords(maxBytes: number): LogEvent[] {
    const events: LogEvent[] = []
    const count = this.#cursors.length
    let room = maxBytes
    for (let step = 0; step < count && events.length < handful && room > 0; step++) {
      const cursor = this.#cursors[(this.#turn + step) % count]!
      const { log, topic, partition, next } = cursor
      if (next === undefined || cursor.paused || cursor.revoking || next >= log.end) continue
      const { records, bytes } = log.slice(next, room, events.length === 0)
      if (records.length === 0) continue
      room -= bytes
      // Retention may have taken what was next: reading goes on where the log begins.
      cursor.next = Math.max(next, log.start) + records.length
      events.push({ kind: 'records', topic, partition, records, behind: log.end - cursor.next })
    }
    if (count > 0) this.#turn = (this.#turn + 1) % count
    return events
  }
}
