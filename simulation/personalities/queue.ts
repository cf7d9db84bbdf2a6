import type { MemoryAdapter } from '../../src/adapters/memory/index.ts'
import { abortedError, sleep } from '../../src/core/environment.ts'
import { StreamError } from '../../src/core/errors.ts'
import type { OutgoingRecord, RawRecord } from '../../src/core/record.ts'
import { Signal } from '../../src/core/signal.ts'
import type {
  AdminDriver,
  AnyAdapter,
  Delivery,
  PartitionReader,
  ProducerDriver,
  QueueSubscription,
  ReceiveOptions
} from '../../src/spec/index.ts'
import type { Parts, Personality } from './personality.ts'

interface Message {
  readonly partition: number
  readonly record: RawRecord & { readonly identity: string }
  /** Not handed out before that. */
  from: number
  deliveries: number
  /** The delivery that counts; an older one is worth nothing. */
  id: string
}

/** How long a delivery is its receiver's unless that is extended, ms. */
const deadline = 10_000

interface Kept {
  readonly messages: Set<Message>
  readonly signals: Set<Signal>
}

/**
 * A queue without order: what is written is kept for each group that is known, delivered in any order, late, and again
 * when it is not acknowledged in time, and at times although it was.
 */
export function queueUnordered(): Personality {
  const groups = new Map<string, Map<string, Kept>>()
  const taps = new Set<{ topic: string; partition: number; records: RawRecord[]; signal: Signal }>()
  let deliveries = 0
  return {
    name: 'queue-unordered',
    commitIn: 'store',
    ordered: false,
    loses: false,
    adapter(inner: MemoryAdapter, parts: Parts): AnyAdapter {
      const { environment, random, isHealed, broker } = parts
      const { logReader: _, transactions: __, partitionReader: ___, ...rest } = inner
      const delays = random.pick([0, 50, 5_000, 20_000])
      const repeats = random.pick([0, 0.02, 0.2])
      const keep = (kept: Kept, partition: number, record: Message['record']): void => {
        const wait = isHealed() ? 0 : random.skewed(0, delays)
        kept.messages.add({ partition, record, from: environment.monotonic() + wait, deliveries: 0, id: '' })
        environment.timer(wait, () => {
          for (const signal of kept.signals) signal.raise()
        })
      }
      const publish = (record: OutgoingRecord, position: string): void => {
        const raw = { ...record, position, identity: position }
        for (const kept of groups.get(record.topic)?.values() ?? []) keep(kept, record.partition, raw)
        for (const tap of taps)
          if (tap.topic === record.topic && tap.partition === record.partition) {
            tap.records.push(raw)
            tap.signal.raise()
          }
      }
      const subscription = (
        group: string,
        topic: string,
        partitions: readonly number[] | undefined
      ): QueueSubscription => {
        const kept = groups.get(topic)?.get(group)
        if (!kept) throw new StreamError('unknown-topic', `nothing is kept of '${topic}' for '${group}'`)
        const signal = new Signal(environment)
        kept.signals.add(signal)
        const find = (ids: readonly string[]): Message[] =>
          [...kept.messages].filter(message => ids.includes(message.id))
        const ours = ({ partition }: Message): boolean => partitions === undefined || partitions.includes(partition)
        const take = (): Delivery[] => {
          const now = environment.monotonic()
          const ready = [...kept.messages].filter(message => message.from <= now && ours(message))
          const taken: Delivery[] = []
          while (ready.length > 0 && taken.length < 20) {
            const [message] = ready.splice(isHealed() ? 0 : random.below(ready.length), 1)
            message!.id = `delivery-${++deliveries}`
            const again = !isHealed() && random.chance(repeats)
            message!.from = now + (again ? random.skewed(1, deadline) : deadline)
            taken.push({
              ...message!.record,
              id: message!.id,
              partition: message!.partition,
              redelivered: message!.deliveries++
            })
          }
          return taken
        }
        return {
          async receive({ wait, signal: stop }: ReceiveOptions) {
            const until = environment.monotonic() + wait
            for (;;) {
              if (stop?.aborted) throw abortedError(stop)
              const taken = take()
              if (taken.length > 0 || environment.monotonic() >= until) return taken
              let next = until
              for (const message of kept.messages) if (message.from < next && ours(message)) next = message.from
              await signal.wait(Math.max(1, next - environment.monotonic()), stop)
            }
          },
          async acknowledge(ids) {
            const found = find(ids)
            const failed = found.filter(() => !isHealed() && random.chance(repeats))
            for (const message of found) if (!failed.includes(message)) kept.messages.delete(message)
            return failed.map(({ id }) => id)
          },
          async release(ids) {
            for (const message of find(ids)) message.from = environment.monotonic()
            for (const other of kept.signals) other.raise()
          },
          async extend(ids, milliseconds) {
            for (const message of find(ids)) message.from = environment.monotonic() + milliseconds
          },
          async close() {
            kept.signals.delete(signal)
          }
        }
      }
      return {
        ...rest,
        capabilities: {
          ...inner.capabilities,
          positions: 'none',
          order: 'none',
          duplicates: true,
          groups: false,
          transactions: false
        },
        admin: () =>
          queueAdmin(inner.admin(), async (group, topic) => {
            broker.topic(topic)
            const known = groups.get(topic) ?? new Map<string, Kept>()
            groups.set(topic, known)
            if (!known.has(group)) known.set(group, { messages: new Set(), signals: new Set() })
          }),
        producer: async () => publishing(await inner.producer(), publish),
        queueSubscription: async ({ group, topic, partitions }) => subscription(group, topic, partitions),
        async partitionReader({ topic, partition }): Promise<PartitionReader> {
          broker.log({ topic, partition })
          const signal = new Signal(environment)
          const tap = { topic, partition, records: [] as RawRecord[], signal }
          taps.add(tap)
          return {
            async receive({ wait, signal: stop }) {
              if (stop?.aborted) throw abortedError(stop)
              if (tap.records.length === 0 && wait > 0) await signal.wait(wait, stop)
              // A queue finds out by a round trip.
              if (wait === 0) await sleep(environment, random.skewed(0, 200), stop)
              return { records: tap.records.splice(0), atEnd: wait === 0 }
            },
            close: async () => void taps.delete(tap)
          }
        }
      }
    }
  }
}

function publishing(
  inner: ProducerDriver,
  publish: (record: OutgoingRecord, position: string) => void
): ProducerDriver {
  return {
    async send(batch, signal) {
      const results = await inner.send(batch, signal)
      results.forEach((result, index) => {
        if (result.ok) publish(batch[index]!, result.position!)
      })
      return results
    },
    close: () => inner.close()
  }
}

function queueAdmin(inner: AdminDriver, ensureGroup: NonNullable<AdminDriver['ensureGroup']>): AdminDriver {
  const refuse = (): Promise<never> => Promise.reject(new StreamError('unsupported', 'there are no groups'))
  return {
    createTopic: topic => inner.createTopic(topic),
    deleteTopic: topic => inner.deleteTopic(topic),
    describeTopic: topic => inner.describeTopic(topic),
    listTopics: () => inner.listTopics(),
    backlog: refuse,
    committed: refuse,
    ensureGroup,
    close: () => inner.close()
  }
}
