import type { Environment } from '../../core/environment.ts'
import type { OutgoingRecord } from '../../core/record.ts'
import type { CreateTopic, TopicPartition } from '../../spec/index.ts'
import { memoryError, unknownTopic } from './errors.ts'
import { MemoryFaults } from './faults.ts'
import { Group } from './group.ts'
import { PartitionLog } from './partition-log.ts'
import { TransactionTable } from './transaction-table.ts'

export interface MemoryTopic {
  readonly definition: CreateTopic
  readonly partitions: readonly PartitionLog[]
}

/** Longest that calls may follow each other without a turn of the event loop, ms: timers and signals must get in. */
const longestTurn = 10

/** The log itself: topics, groups, transactions. Shared by as many adapters as one likes; lives as long as it is referred to. */
export class MemoryBroker {
  readonly name: string
  readonly faults: MemoryFaults
  readonly transactions: TransactionTable
  readonly #topics = new Map<string, MemoryTopic>()
  readonly #groups = new Map<string, Group>()
  #clients = 0
  #lastTurn = 0

  constructor(name = 'anonymous', faults: MemoryFaults = new MemoryFaults()) {
    this.name = name
    this.faults = faults
    this.transactions = new TransactionTable(this)
    faults.onKick = (group, client) => this.#groups.get(group)?.kick(client) ?? 0
    faults.onHeartbeats = (client, beating) => {
      for (const group of this.#groups.values()) group.heartbeats(client, beating)
    }
  }

  nextClient(): string {
    return `client-${++this.#clients}`
  }

  createTopic(definition: CreateTopic): void {
    const { topic, partitions } = definition
    if (this.#topics.has(topic)) throw memoryError('topic-exists', `topic '${topic}' exists already`)
    if (!Number.isInteger(partitions) || partitions < 1)
      throw memoryError('bad-config', `topic '${topic}': partitions must be a whole number above 0, got ${partitions}`)
    const logs = Array.from({ length: partitions }, (_, index) => new PartitionLog(topic, index))
    this.#topics.set(topic, { definition, partitions: logs })
  }

  /** Members lose its partitions at once; what groups committed for it is forgotten. */
  deleteTopic(topic: string): void {
    if (!this.#topics.delete(topic)) throw unknownTopic(topic)
    for (const group of this.#groups.values()) group.forget(topic)
  }

  findTopic(topic: string): MemoryTopic | undefined {
    return this.#topics.get(topic)
  }

  /** Throws `unknown-topic`. */
  topic(topic: string): MemoryTopic {
    const found = this.#topics.get(topic)
    if (!found) throw unknownTopic(topic)
    return found
  }

  topicNames(): readonly string[] {
    return [...this.#topics.keys()]
  }

  /** Throws `unknown-topic`, also when only the partition is missing. */
  log({ topic, partition }: TopicPartition): PartitionLog {
    const log = this.topic(topic).partitions[partition]
    if (!log) throw memoryError('unknown-topic', `topic '${topic}' has no partition ${partition}`)
    return log
  }

  group(name: string): Group {
    let group = this.#groups.get(name)
    if (!group) this.#groups.set(name, (group = new Group(name, this)))
    return group
  }

  /** Appends all or, when a topic or partition is missing, nothing. */
  appendAll(records: readonly OutgoingRecord[]): void {
    const logs = records.map(record => this.log(record))
    records.forEach((record, index) => logs[index]!.append(record))
    for (const log of new Set(logs)) log.wake()
  }

  /** Now and then something to wait for, so that a busy program does not shut out its own timers. Else nothing. */
  breathe(environment: Environment): Promise<void> | undefined {
    const now = environment.monotonic()
    if (now - this.#lastTurn < longestTurn) return undefined
    this.#lastTurn = now
    return environment.turn()
  }
}

const named = new Map<string, MemoryBroker>()

/** The broker of that name in this process. It stays for as long as the process does, as a server would. */
export function namedBroker(name: string): MemoryBroker {
  let broker = named.get(name)
  if (!broker) named.set(name, (broker = new MemoryBroker(name)))
  return broker
}
