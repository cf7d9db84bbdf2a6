import { parkedGroup } from './topics.ts'
import { parkedHeaders } from '../broker/index.ts'
import { StreamError } from '../core/errors.ts'
import { headerText, type Headers, type RawRecord } from '../core/record.ts'
import { decodeStamp } from '../core/stamp.ts'
import type { AnyAdapter, Delivery, QueueSubscription } from '../spec/index.ts'

/** A record that was given up, as its parked topic has it. Bytes are as they came. */
export interface ParkedRecord {
  /** `partition/position` on the parked topic; on a queue, what the broker calls the message. */
  readonly id: string
  /** `topic/partition/position` where it was. */
  readonly origin: string
  readonly partition: number
  /** The task or the group that gave up. */
  readonly by: string
  readonly code: string
  readonly error: string
  readonly stack: string | undefined
  readonly attempts: number
  /** When it was parked, ms since the epoch; `undefined` of releases before this was told. */
  readonly at: number | undefined
  /** Id of the schema of its value. */
  readonly schema: string | undefined
  /** How often it was sent again before. */
  readonly redriven: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: Headers
  readonly eventTime: number
}

/** What a record of a parked topic says of itself. */
export function describeParked(raw: RawRecord, partition: number): ParkedRecord {
  const { headers, key, value } = raw
  const text = (name: string): string => headerText(headers, name) ?? ''
  const at = Number(headerText(headers, parkedHeaders.at))
  return {
    id: `${partition}/${raw.position}`,
    origin: text(parkedHeaders.origin),
    partition,
    by: text(parkedHeaders.by),
    code: text(parkedHeaders.code),
    error: text(parkedHeaders.error),
    stack: headerText(headers, parkedHeaders.stack),
    attempts: Number(text(parkedHeaders.attempts)),
    at: Number.isFinite(at) && at > 0 ? at : undefined,
    schema: headerText(headers, parkedHeaders.schema),
    redriven: Number(text(parkedHeaders.redriven)),
    key,
    value,
    headers,
    eventTime: stampOf(raw)?.eventTime ?? raw.timestamp
  }
}

/** What tells it from all others, however often it is on the topic: a relay may have written it twice. */
export function identityOf(raw: RawRecord): string {
  const stamp = stampOf(raw)
  if (stamp) return `${Buffer.from(stamp.producer, 'latin1').toString('hex')}/${stamp.sequence}`
  return raw.identity ?? `@${raw.position}`
}

function stampOf({ stamp }: RawRecord): ReturnType<typeof decodeStamp> | undefined {
  try {
    return stamp && decodeStamp(stamp)
  } catch {
    return undefined
  }
}

/** One partition of a parked topic, from its beginning to its end. */
export interface ParkedPartition {
  /** `undefined`: that was all. */
  next(signal: AbortSignal | undefined): Promise<readonly RawRecord[] | undefined>
  /** These need not be kept for a later run. Nothing happens where the broker is a log. */
  done(records: readonly RawRecord[]): Promise<void>
  close(): Promise<void>
}

const maxBytes = 4 * 1024 * 1024

export async function openParked(adapter: AnyAdapter, topic: string, partition: number): Promise<ParkedPartition> {
  if (adapter.capabilities.positions === 'log' && adapter.partitionReader) {
    const options = { topic, partition, from: 'earliest', readCommitted: true, maxBytes } as const
    const reader = await adapter.partitionReader(options)
    let ended = false
    return {
      async next(signal) {
        while (!ended) {
          const { records, atEnd } = await reader.receive({ wait: 1_000, ...(signal && { signal }) })
          ended = atEnd
          if (records.length > 0) return records
        }
        return undefined
      },
      done: async () => {},
      close: () => reader.close()
    }
  }
  if (!adapter.queueSubscription)
    throw new StreamError('unsupported', `'${adapter.name}' can read neither a partition nor a queue`)
  return new ParkedQueue(
    await adapter.queueSubscription({ group: parkedGroup, topic, partitions: [partition], maxBytes })
  )
}

/** So long may a queue have nothing before it counts as empty, ms. */
const silence = 3_000
const held = 60_000

/** A queue gives what is not acknowledged again: what was seen is held until the end, and then let go. */
class ParkedQueue implements ParkedPartition {
  readonly #subscription: QueueSubscription
  readonly #held = new Map<string, Delivery>()
  readonly #seen = new Set<string>()

  constructor(subscription: QueueSubscription) {
    this.#subscription = subscription
  }

  async next(signal: AbortSignal | undefined): Promise<readonly RawRecord[] | undefined> {
    for (;;) {
      const deliveries = await this.#subscription.receive({ wait: silence, ...(signal && { signal }) })
      if (deliveries.length === 0) return undefined
      for (const delivery of deliveries) this.#held.set(delivery.identity, delivery)
      await this.#subscription.extend(
        [...this.#held.values()].map(({ id }) => id),
        held
      )
      const fresh = deliveries.filter(({ identity }) => !this.#seen.has(identity))
      for (const { identity } of fresh) this.#seen.add(identity)
      if (fresh.length > 0) return fresh
    }
  }

  async done(records: readonly RawRecord[]): Promise<void> {
    const ids: string[] = []
    for (const { identity } of records) {
      const delivery = this.#held.get(identity!)
      this.#held.delete(identity!)
      if (delivery) ids.push(delivery.id)
    }
    if (ids.length > 0) await this.#subscription.acknowledge(ids)
  }

  async close(): Promise<void> {
    const ids = [...this.#held.values()].map(({ id }) => id)
    if (ids.length > 0) await this.#subscription.release(ids).catch(() => {}) // their deadline passes
    await this.#subscription.close()
  }
}
