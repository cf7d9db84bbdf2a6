import type { Sender } from '../broker/index.ts'
import type { Environment } from '../core/environment.ts'
import { sizeOf, type OutgoingRecord } from '../core/record.ts'
import type { TaskName, UnsentOutputs } from '../exactly-once/index.ts'
import { relaysInTransactions } from './relay-marker.ts'
import { TransactionalWay } from './relay-transactions.ts'

export interface StageRelayParts {
  readonly environment: Environment
  /** The sender for a topic: one per broker and run. */
  sender(topic: string): Sender
  /** Of topics of markers, where they must be made: as many as the stage has tasks. */
  readonly partitions: number
}

/** How the tasks of one stage send what they have committed. */
export class StageRelay {
  readonly #parts: StageRelayParts
  readonly #ways = new Set<TransactionalWay>()

  constructor(parts: StageRelayParts) {
    this.#parts = parts
  }

  /** Since when the broker of a topic takes nothing, monotonic ms; `undefined` while it does. */
  failingSince(topic: string): number | undefined {
    const sender = this.#parts.sender(topic)
    let since = sender.failingSince(topic) ?? Infinity
    for (const { adapter, failingSince } of this.#ways)
      if (adapter === sender.adapter) since = Math.min(since, failingSince ?? Infinity)
    return since === Infinity ? undefined : since
  }

  /** Without transactions: resolves when the brokers have all. Rejects with the first error that no retry will mend. */
  async send(records: readonly OutgoingRecord[]): Promise<void> {
    await Promise.all(Array.from(this.#bySender(records), ([sender, group]) => sender.send(group)))
  }

  /**
   * For one life of a task.
   *
   * @param inTransactions where a broker has them
   * @param onFailure called once, when nothing more can be sent
   */
  open(task: TaskName, inTransactions: boolean, onFailure: () => void): TaskRelay {
    const ways = new Map<Sender, TransactionalWay>()
    let newest = 0
    const wayOf = (sender: Sender): TransactionalWay | undefined => {
      const { adapter } = sender
      if (!inTransactions || !relaysInTransactions(adapter)) return undefined
      let way = ways.get(sender)
      if (!way) {
        const { environment, partitions } = this.#parts
        way = new TransactionalWay({ adapter, environment, task, partitions, newest: () => newest })
        ways.set(sender, way)
        this.#ways.add(way)
      }
      return way
    }
    return new TaskRelay({
      send: async (commit, records) => {
        const sent = Array.from(
          this.#bySender(records),
          ([sender, group]) => wayOf(sender)?.send(commit, group) ?? sender.send(group)
        )
        await Promise.all(sent)
      },
      committed: commit => void (newest = commit),
      stop: () => ways.forEach(way => way.stop()),
      close: () => {
        for (const way of ways.values()) {
          this.#ways.delete(way)
          way.close()
        }
      },
      onFailure
    })
  }

  #bySender(records: readonly OutgoingRecord[]): Map<Sender, OutgoingRecord[]> {
    const groups = new Map<Sender, OutgoingRecord[]>()
    for (const record of records) {
      const sender = this.#parts.sender(record.topic)
      const group = groups.get(sender)
      if (group) group.push(record)
      else groups.set(sender, [record])
    }
    return groups
  }
}

interface Ways {
  send(commit: number, records: readonly OutgoingRecord[]): Promise<void>
  /** The last commit that the store has. */
  committed(commit: number): void
  stop(): void
  close(): void
  onFailure(): void
}

/**
 * Step 6 for one life of a task: its committed outputs, with the stamps as committed, until the brokers have them. Knows up to
 * which commit they do, and how much waits.
 */
export class TaskRelay {
  /** Every output of commits up to here is sent. */
  relayedTo: number = 0
  /** The last commit that had outputs. */
  lastOutputs: number = 0
  unsentBytes: number = 0
  /** Why nothing more is sent. */
  failure: unknown
  readonly #ways: Ways
  #relaying: Promise<void> = Promise.resolve()
  /** What is under way, oldest first; `#relaying` is the last of them. */
  readonly #relays: Promise<void>[] = []

  constructor(ways: Ways) {
    this.#ways = ways
  }

  /** Resolves when the oldest of what waits has been sent, or has failed. */
  get oldest(): Promise<void> {
    return this.#relays[0] ?? Promise.resolve()
  }

  /** Resolves when all that waits by now has been sent, or has failed. */
  get all(): Promise<void> {
    return this.#relaying
  }

  /** @param last number of the last commit @param unsent what may not have been sent of it and of those before */
  recover(last: number, unsent: readonly UnsentOutputs[]): void {
    this.#ways.committed(last)
    this.relayedTo = unsent[0] ? unsent[0].commit - 1 : last
    for (const { commit, outputs } of unsent) this.#add(commit, outputs)
  }

  /** Of a commit that is durable. */
  add(commit: number, records: readonly OutgoingRecord[]): void {
    this.#ways.committed(commit)
    this.#add(commit, records)
  }

  /** Sends nothing more by transactions; what waits for them fails. */
  stop(): void {
    this.#ways.stop()
  }

  close(): void {
    this.#ways.close()
  }

  #add(commit: number, records: readonly OutgoingRecord[]): void {
    if (records.length === 0) return
    this.lastOutputs = commit
    const bytes = records.reduce((sum, record) => sum + sizeOf(record), 0)
    this.unsentBytes += bytes
    const sent = this.#ways.send(commit, records)
    const before = this.#relaying
    this.#relaying = before.then(async () => {
      try {
        await sent
        if (this.failure === undefined) this.relayedTo = commit
      } catch (error) {
        this.#failed(error)
      } finally {
        this.unsentBytes -= bytes
        this.#relays.shift()
      }
    })
    this.#relays.push(this.#relaying)
    sent.catch(() => {}) // taken up above, in order
  }

  #failed(error: unknown): void {
    if (this.failure !== undefined) return
    this.failure = error
    this.#ways.onFailure()
  }
}
