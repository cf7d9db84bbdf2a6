/** Adapters whose consumer groups are hidden, as if their brokers had none. */
import type { Capabilities } from '../../src/core/capabilities.ts'
import { StreamError } from '../../src/core/errors.ts'
import { systemEnvironment } from '../../src/core/environment.ts'
import type { ClientStore } from '../../src/exactly-once/index.ts'
import { LeasedReader } from '../../src/pipeline/leased-reader.ts'
import type { AdminDriver, AnyAdapter } from '../../src/spec/index.ts'

/** The same broker without groups: partitions are shared out by leases in the store of the client. */
export function ungrouped(adapter: AnyAdapter): AnyAdapter {
  const { logReader: _, ...rest } = adapter
  const refuse = async (): Promise<never> => {
    throw new StreamError('unsupported', 'this broker has no groups')
  }
  return {
    ...rest,
    capabilities: { ...adapter.capabilities, groups: false },
    admin: () => withOwn(adapter.admin(), { backlog: refuse, committed: refuse })
  }
}

/** A broker without groups that pretends to have some: they are leases and positions in the store. For the suite of groups. */
export function regrouped(adapter: AnyAdapter, store: ClientStore): AnyAdapter {
  const plain = ungrouped(adapter)
  const partitionsOf = async (topics: readonly string[]): Promise<number> => {
    const admin = adapter.admin()
    const found = await Promise.all(topics.map(topic => admin.describeTopic(topic)))
    await admin.close()
    const missing = topics.find((_, index) => !found[index])
    if (missing !== undefined) throw new StreamError('unknown-topic', `there is no topic '${missing}'`)
    return Math.max(...found.map(description => description!.partitions!))
  }
  const { transactions: _, ...rest } = plain
  const readers = new Set<LeasedReader>()
  return {
    ...rest,
    capabilities: withoutTransactions(adapter.capabilities),
    async logReader(options) {
      const partitions = await partitionsOf(options.topics)
      const reader = new LeasedReader(plain, systemEnvironment, store, options, partitions)
      readers.add(reader)
      return reader
    },
    async close() {
      for (const reader of readers) await reader.close()
      await adapter.close()
    },
    admin: () =>
      withOwn(adapter.admin(), {
        async committed(group, topic) {
          const positions = await store.positions(group, topic)
          return Array.from({ length: await partitionsOf([topic]) }, (_, partition) => positions.get(partition))
        }
      })
  }
}

/** Positions are in the store: the broker cannot commit them with records. */
export const withoutTransactions = (capabilities: Capabilities): Capabilities => ({
  ...capabilities,
  transactions: false
})

function withOwn(admin: AdminDriver, own: Partial<AdminDriver>): AdminDriver {
  return new Proxy(admin, {
    get(_, name) {
      const member: unknown = Reflect.get(own, name) ?? Reflect.get(admin, name, admin)
      return typeof member === 'function' ? (member as (...given: unknown[]) => unknown).bind(admin) : member
    }
  })
}
