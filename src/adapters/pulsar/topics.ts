import { StreamError } from '../../core/errors.ts'
import type { TopicPartition } from '../../spec/log-reader.ts'
import { PulsarError } from './errors.ts'
import { beforeAll, compareIds, type MessageId } from './positions.ts'
import type { Rest } from './rest.ts'

/** Of a managed ledger, as far as needed here. */
export interface InternalStats {
  readonly numberOfEntries: number
  readonly currentLedgerEntries: number
  /** `ledger:entry`. */
  readonly lastConfirmedEntry: string
  /** In order. The last one is open and says 0 entries. */
  readonly ledgers: readonly { readonly ledgerId: number; readonly entries: number }[]
  readonly cursors: Readonly<Record<string, unknown>>
}

interface BacklogStats {
  readonly backlogSize: number
  /** -1: none. */
  readonly backlogQuotaLimitSize: number
  readonly subscriptions: Readonly<Record<string, { readonly msgBacklog: number }>>
}

export interface Retention {
  readonly retentionTimeInMinutes: number
  readonly retentionSizeInMB: number
}

/**
 * What the admin API says about topics. A socket to a topic that is not there *creates* it where the broker allows that
 * (its default), so that every socket asks here before.
 */
export class Topics {
  readonly rest: Rest
  readonly #tenant: string
  readonly #namespace: string
  /** Partitions; 0 for a topic without. */
  readonly #known = new Map<string, number>()
  readonly #deleting = new Set<string>()

  constructor(rest: Rest, tenant: string, namespace: string) {
    this.rest = rest
    this.#tenant = tenant
    this.#namespace = namespace
  }

  get namespacePath(): string {
    return `${encodeURIComponent(this.#tenant)}/${encodeURIComponent(this.#namespace)}`
  }

  /** `persistent/tenant/namespace/topic`, as the admin API wants it. */
  pathOf(topic: string): string {
    return `persistent/${this.namespacePath}/${encodeURIComponent(topic)}`
  }

  /** `persistent://tenant/namespace/topic`. */
  fullName(topic: string): string {
    return `persistent://${this.#tenant}/${this.#namespace}/${topic}`
  }

  /** The number of its partitions, 0 when it was made without; `undefined` when it is not there. Never creates it. */
  async partitions(topic: string): Promise<number | undefined> {
    try {
      const path = `${this.pathOf(topic)}/partitions?checkAllowAutoCreation=false`
      const { partitions } = await this.rest.get<{ partitions: number }>(`describing topic '${topic}'`, path)
      return partitions
    } catch (error) {
      if (error instanceof PulsarError && error.status === 404) return undefined
      throw error
    }
  }

  /** Nobody may open a socket to it while this runs: it would create the topic again. */
  async whileDeleting(topic: string, work: () => Promise<void>): Promise<void> {
    this.#deleting.add(topic)
    try {
      await work()
    } finally {
      this.#deleting.delete(topic)
      this.#known.delete(topic)
    }
  }

  /** Rejects with `unknown-topic` what is being deleted. */
  assertStays(topic: string): void {
    if (this.#deleting.has(topic)) throw unknownTopic(this.fullName(topic))
  }

  /** The full name of the topic behind one partition. Rejects with `unknown-topic`. */
  async partitionTopic({ topic, partition }: TopicPartition): Promise<string> {
    this.assertStays(topic)
    let count = this.#known.get(topic)
    if (count === undefined) {
      count = await this.partitions(topic)
      if (count === undefined) throw unknownTopic(this.fullName(topic))
      this.#known.set(topic, count)
    }
    if (partition >= Math.max(count, 1)) {
      this.#known.delete(topic)
      throw unknownTopic(`${this.fullName(topic)}, partition ${partition} of ${Math.max(count, 1)}`)
    }
    return this.fullName(partitionName(topic, partition, count))
  }

  /** After a failure: the topic may be another one by now. */
  forget(topic: string): void {
    this.#known.delete(topic)
  }

  /** The last message of a partition, {@link beforeAll} when nothing was ever written. */
  async last(partitionTopic: string, signal?: AbortSignal): Promise<MessageId> {
    type Answer = { readonly ledgerId: number; readonly entryId: number; readonly batchIndex?: number }
    const what = `the end of '${partitionTopic}'`
    const found = await this.rest.get<Answer>(what, `${this.pathOf(partitionTopic)}/lastMessageId`, signal)
    if (found.entryId < 0) return beforeAll
    return { ledger: found.ledgerId, entry: found.entryId, batch: found.batchIndex ?? -1 }
  }

  /** The place before the first message that was published at this time or later. */
  async beforeTime(partitionTopic: string, time: number, signal?: AbortSignal): Promise<MessageId | undefined> {
    type Answer = { readonly ledgerId: number; readonly entryId: number }
    const path = `${this.pathOf(partitionTopic)}/messageid/${Math.max(0, Math.floor(time))}`
    const found = await this.rest.get<Answer>(`a time in '${partitionTopic}'`, path, signal)
    if (found.ledgerId < 0) return undefined
    return { ledger: found.ledgerId, entry: Math.max(-1, found.entryId - 1), batch: -1 }
  }

  internalStats(partitionTopic: string, signal?: AbortSignal): Promise<InternalStats> {
    const what = `the ledgers of '${partitionTopic}'`
    return this.rest.get<InternalStats>(what, `${this.pathOf(partitionTopic)}/internalStats`, signal)
  }

  /**
   * Why nobody may write, when the backlog of a subscription has reached its quota: Pulsar then keeps a new producer
   * waiting for a minute or two before it says so.
   */
  async fullBacklog(fullName: string): Promise<PulsarError | undefined> {
    const topic = partOf(fullName)
    const what = `the backlog of '${topic}'`
    const { backlogSize, backlogQuotaLimitSize, subscriptions } = await this.rest.get<BacklogStats>(
      what,
      `${this.pathOf(topic)}/stats`
    )
    if (!(backlogQuotaLimitSize > 0) || backlogSize < backlogQuotaLimitSize) return undefined
    const [slowest] = Object.entries(subscriptions).toSorted(
      ([, left], [, right]) => right.msgBacklog - left.msgBacklog
    )
    const held = slowest
      ? `subscription '${slowest[0]}' has not acknowledged ${slowest[1].msgBacklog} messages`
      : 'nobody reads it'
    const message = `${fullName} takes no records: its backlog of ${backlogSize} bytes is over the quota of ${backlogQuotaLimitSize}; ${held}`
    return new PulsarError({ code: 'throttled', retryable: true }, message)
  }

  /** Is everything up to `last` handed over or gone? Asked when nothing comes although `last` is ahead. */
  async nothingAfter(partitionTopic: string, delivered: MessageId, signal?: AbortSignal): Promise<boolean> {
    return entriesAfter(await this.internalStats(partitionTopic, signal), delivered) === 0
  }
}

/** Messages behind a place, a batch of a foreign producer counting as one. */
export function entriesAfter(stats: InternalStats, place: MessageId): number {
  let count = 0
  const last = stats.ledgers.length - 1
  for (const [index, { ledgerId, entries }] of stats.ledgers.entries()) {
    const written = index === last ? stats.currentLedgerEntries : entries
    if (ledgerId > place.ledger) count += written
    else if (ledgerId === place.ledger) count += Math.max(0, written - place.entry - 1)
  }
  // Entries of the ledgers that are left; the very first may have lost its front.
  return Math.min(count, stats.numberOfEntries)
}

export function partitionName(topic: string, partition: number, count: number): string {
  return count === 0 ? topic : `${topic}-partition-${partition}`
}

/** `name-partition-0` of a full name. */
export function partOf(fullName: string): string {
  return fullName.slice(fullName.lastIndexOf('/') + 1)
}

export function unknownTopic(name: string): StreamError {
  return new StreamError(
    'unknown-topic',
    `Pulsar has no topic ${name}: create it first, or check tenant and namespace`,
    {
      adapter: 'pulsar'
    }
  )
}

/** Whether the end of a partition is reached. */
export function reaches(delivered: MessageId, last: MessageId): boolean {
  return compareIds(delivered, last) >= 0
}
