import type { AnyAdapter, FencedProducer } from '../../src/spec/index.ts'
import type { Plant } from './plant.ts'

/** Producers of transactions that are wrong in some way. */
function withProducers(
  adapter: AnyAdapter,
  producer: (open: () => Promise<FencedProducer>) => Promise<FencedProducer>
): AnyAdapter {
  const { transactions } = adapter
  if (!transactions) return adapter
  return {
    ...adapter,
    transactions: () => ({ producer: id => producer(() => transactions.call(adapter).producer(id)) })
  }
}

/** The relay in transactions without one of its rules; the names are those of its models. */
export const relayPlants: readonly Plant[] = [
  {
    name: 'T1',
    what: 'the relay has its producer with its first transaction, so that the marker is read before it',
    personality: 'txn-relay',
    adapter: adapter =>
      withProducers(adapter, async open => {
        let inner: Promise<FencedProducer> | undefined
        return {
          commit: async batch => (await (inner ??= open())).commit(batch),
          close: async () => (await inner)?.close()
        }
      })
  },
  {
    name: 'T3',
    what: 'the relay tries an unclear end again, with the same producer',
    personality: 'txn-relay',
    adapter: adapter =>
      withProducers(adapter, async open => {
        const inner = await open()
        return {
          async commit(batch) {
            const ended = await inner.commit(batch)
            return ended.outcome === 'unknown' ? { outcome: 'aborted' } : ended
          },
          close: () => inner.close()
        }
      })
  },
  {
    name: 'T4',
    what: 'the relay does not look at its marker',
    personality: 'txn-relay',
    adapter: adapter => ({
      ...adapter,
      partitionReader: async options => {
        const reader = await adapter.partitionReader!(options)
        if (!options.topic.endsWith('.relayed')) return reader
        return {
          receive: async asked => ({ ...(await reader.receive(asked)), records: [] }),
          close: () => reader.close()
        }
      }
    })
  }
]
