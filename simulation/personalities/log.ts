import type { MemoryAdapter } from '../../src/adapters/memory/index.ts'
import { StreamError } from '../../src/core/errors.ts'
import type { OutgoingRecord } from '../../src/core/record.ts'
import type { AdminDriver, AnyAdapter, FencedProducer } from '../../src/spec/index.ts'
import { goingBack } from './going-back.ts'
import type { Parts, Personality } from './personality.ts'

/** A log with consumer groups; tasks commit in a store, outputs go by relay. */
export const logOrdered = (): Personality => ({
  name: 'log-ordered',
  commitIn: 'store',
  ordered: true,
  loses: false,
  adapter: (inner, parts) =>
    goingBack({ ...inner, capabilities: { ...inner.capabilities, transactions: false } }, parts)
})

/** A log without groups, as Kinesis and Event Hubs have it: partitions are leases in the store. */
export const logLeases = (): Personality => ({
  name: 'log-leases',
  commitIn: 'store',
  ordered: true,
  loses: false,
  adapter(inner, parts) {
    const { logReader: _, transactions: __, ...rest } = inner
    const capabilities = { ...inner.capabilities, groups: false, transactions: false }
    return goingBack({ ...rest, capabilities, admin: () => withoutGroups(inner.admin()) }, parts)
  }
})

function withoutGroups(inner: AdminDriver): AdminDriver {
  const refuse = (): Promise<never> => Promise.reject(new StreamError('unsupported', 'there are no groups'))
  return {
    createTopic: topic => inner.createTopic(topic),
    deleteTopic: topic => inner.deleteTopic(topic),
    describeTopic: topic => inner.describeTopic(topic),
    listTopics: () => inner.listTopics(),
    backlog: refuse,
    committed: refuse,
    close: () => inner.close()
  }
}

/** A log with transactions: outputs, changelog and offsets in one, by one producer per task. Ends of transactions hang. */
export const transactionLog = (): Personality => ({
  name: 'txn-log',
  commitIn: 'broker',
  ordered: true,
  loses: false,
  adapter(inner, parts): AnyAdapter {
    const hazard = parts.random.pick([0, 0.02, 0.1])
    return {
      ...inner,
      transactions: () => ({
        producer: async id => disturbed(await inner.transactions!().producer(id), id, parts, hazard)
      })
    }
  }
})

/** Commits are in a store, and the broker has transactions: outputs are relayed in them, and are there once for any reader. */
export const transactionalRelay = (): Personality => {
  const base = transactionLog()
  return {
    ...base,
    name: 'txn-relay',
    commitIn: 'store',
    onceForAll: true,
    adapter(inner, parts) {
      const adapter = base.adapter(inner, parts)
      return goingBack({ ...adapter, capabilities: { ...adapter.capabilities, scope: 'network' } }, parts)
    }
  }
}

function disturbed(
  inner: FencedProducer,
  id: string,
  { broker, random, client, story, isHealed }: Parts,
  hazard: number
): FencedProducer {
  return {
    commit: batch => {
      if (!isHealed() && random.chance(hazard)) {
        const effect = random.pick(['none', 'committed', 'open-committed', 'open-aborted'] as const)
        const outcome = effect === 'none' && random.chance(0.5) ? ('aborted' as const) : ('unknown' as const)
        story.tell(() => `transaction of ${id} by ${client}: ${effect}, told ${outcome}`)
        broker.faults.failTransaction({ id, client, effect, outcome })
      }
      return inner.commit(batch)
    },
    close: () => inner.close()
  }
}

/** A log that loses what it has confirmed, now and then: a new leader that had not got it all. */
export const lossyLog = (): Personality => {
  /** By topic, partition and stamp: what is lost is lost whoever sends it again. Else it would lie behind its successors. */
  const gone = new Set<string>()
  return {
    name: 'lossy-log',
    commitIn: 'store',
    ordered: true,
    loses: true,
    adapter: (inner, parts) => ({
      ...inner,
      capabilities: { ...inner.capabilities, transactions: false },
      producer: () => forgetful(inner, gone, parts)
    })
  }
}

async function forgetful(
  inner: MemoryAdapter,
  gone: Set<string>,
  { random, story, isHealed }: Parts
): ReturnType<AnyAdapter['producer']> {
  const producer = await inner.producer()
  const hazard = random.pick([0.01, 0.05])
  const idOf = ({ topic, partition, stamp }: OutgoingRecord): string =>
    `${topic} ${partition} ${Buffer.from(stamp!).toString('latin1')}`
  return {
    async send(batch, signal) {
      if (!isHealed() && random.chance(hazard))
        for (const record of batch.slice(random.below(batch.length))) {
          if (record.stamp === undefined) continue
          story.tell(() => `${record.topic}/${record.partition} loses a record that it confirms`)
          gone.add(idOf(record))
        }
      const lost = new Set(batch.filter(record => record.stamp !== undefined && gone.has(idOf(record))))
      const kept = await producer.send(
        batch.filter(record => !lost.has(record)),
        signal
      )
      let at = 0
      return batch.map(record => (lost.has(record) ? { ok: true as const, position: undefined } : kept[at++]!))
    },
    close: () => producer.close()
  }
}
