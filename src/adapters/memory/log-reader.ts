import { abortedError } from '../../core/environment.ts'
import type { Position } from '../../core/record.ts'
import type {
  LogEvent,
  LogReader,
  LogReaderOptions,
  ReceiveOptions,
  StartAt,
  TopicPartition
} from '../../spec/index.ts'
import type { MemoryConnection } from './connection.ts'
import { closedError, memoryError } from './errors.ts'
import { failureOf, type FaultCall, type FaultOperation } from './faults.ts'
import type { Group } from './group.ts'
import { Member } from './member.ts'
import { parsePosition } from './partition-log.ts'

/** A member of a group. It holds nothing: records are cut from the log when they are asked for. */
export class MemoryLogReader implements LogReader {
  readonly #connection: MemoryConnection
  readonly #maxBytes: number
  readonly #group: Group
  readonly #groupName: string
  readonly #member: Member
  readonly #stopListening: () => void
  #receiving = false
  #closed = false

  /** Joins the group. Throws `unknown-topic`, `bad-config`. */
  constructor(connection: MemoryConnection, { group, topics, sessionTimeout, maxBytes }: LogReaderOptions) {
    const { broker, client, environment } = connection
    this.#connection = connection
    this.#maxBytes = maxBytes
    this.#groupName = group
    this.#group = broker.group(group)
    this.#member = new Member(client, topics, sessionTimeout, environment)
    this.#group.join(this.#member)
    this.#stopListening = broker.faults.onDisconnect(() => this.#member.waiter.wake())
  }

  async receive({ wait, signal }: ReceiveOptions): Promise<readonly LogEvent[]> {
    if (signal?.aborted) throw abortedError(signal)
    this.#assertOpen()
    if (this.#receiving) throw memoryError('internal', 'receive was called while another receive was under way')
    this.#receiving = true
    try {
      const { broker, client, environment } = this.#connection
      if (!broker.faults.quiet) {
        const rule = broker.faults.take(this.#call('receive'))
        await broker.faults.before(rule, client, environment, signal)
        // A receive that fails has no effect: nothing is skipped.
        if (rule?.failure) throw failureOf(rule.failure)
      }
      const turn = broker.breathe(environment)
      if (turn) await turn
      return await this.#next(environment.monotonic() + wait, signal)
    } finally {
      this.#receiving = false
    }
  }

  async #next(deadline: number, signal: AbortSignal | undefined): Promise<readonly LogEvent[]> {
    const { broker, client, environment } = this.#connection
    for (;;) {
      this.#assertOpen()
      broker.faults.assertConnected(client)
      if (!this.#member.active && !this.#member.hasEvents() && !broker.faults.isSilent(client))
        this.#group.join(this.#member)
      const events = this.#member.collect(this.#maxBytes)
      if (events.length > 0) return events
      const left = deadline - environment.monotonic()
      if (left <= 0) return events
      await this.#member.waiter.wait(environment, left, signal)
    }
  }

  seek(partition: TopicPartition, at: StartAt | 'committed'): Promise<void> {
    return this.#run('seek', () => {
      const cursor = this.#member.find(partition)
      if (!cursor) throw this.#notOwner(partition)
      const start = at === 'committed' ? this.#committed(partition) : at
      cursor.next = cursor.log.offsetOf(start)
      this.#member.waiter.wake()
    })
  }

  pause(partitions: readonly TopicPartition[]): void {
    this.#setPaused(partitions, true)
  }

  resume(partitions: readonly TopicPartition[]): void {
    this.#setPaused(partitions, false)
    this.#member.waiter.wake()
  }

  commit(positions: readonly (TopicPartition & { readonly position: Position })[]): Promise<void> {
    return this.#run('commit', () => {
      if (!this.#member.active)
        throw memoryError('fenced', `this reader was put out of group '${this.#groupName}': others have its partitions`)
      for (const { topic, partition, position } of positions) {
        if (!this.#member.find({ topic, partition })) throw this.#notOwner({ topic, partition })
        parsePosition(position)
      }
      this.#group.store(positions)
    })
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true
      this.#stopListening()
      this.#group.leave(this.#member)
      this.#member.waiter.wake()
    }
    return Promise.resolve()
  }

  #committed(partition: TopicPartition): StartAt {
    const committed = this.#group.committed(partition)
    return committed === undefined ? 'earliest' : { after: committed }
  }

  #setPaused(partitions: readonly TopicPartition[], paused: boolean): void {
    for (const partition of partitions) {
      const cursor = this.#member.find(partition)
      if (cursor) cursor.paused = paused
    }
  }

  #assertOpen(): void {
    if (this.#closed || this.#connection.closed) throw closedError('reader')
  }

  #notOwner({ topic, partition }: TopicPartition): Error {
    return memoryError('not-owner', `this reader of group '${this.#groupName}' does not hold ${topic}/${partition}`)
  }

  #call(operation: FaultOperation): FaultCall {
    return { operation, client: this.#connection.client, group: this.#groupName }
  }

  #run(operation: FaultOperation, effect: () => void): Promise<void> {
    const { broker, environment } = this.#connection
    return broker.faults.run(this.#call(operation), environment, () => {
      this.#assertOpen()
      effect()
    })
  }
}
