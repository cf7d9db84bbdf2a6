import { StreamError } from '../../src/core/errors.ts'
import type { AnyAdapter } from '../../src/spec/index.ts'

/** Topics that take nothing for a while: their leader is away, or they are throttled. The others are as usual. */
export class ClosedTopics {
  readonly #until = new Map<string, number>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  close(topic: string, milliseconds: number): void {
    this.#until.set(topic, this.#now() + milliseconds)
  }

  openAll(): void {
    this.#until.clear()
  }

  guard(adapter: AnyAdapter): AnyAdapter {
    const { transactions } = adapter
    const refused = (topics: readonly { readonly topic: string }[]): StreamError | undefined => {
      const closed = topics.find(({ topic }) => (this.#until.get(topic) ?? 0) > this.#now())
      return closed && new StreamError('connection', `'${closed.topic}' has no leader`, { retryable: true })
    }
    return {
      ...adapter,
      producer: async () => {
        const inner = await adapter.producer()
        return {
          async send(batch, signal) {
            const open = batch.filter(record => !refused([record]))
            const results = open.length > 0 ? [...(await inner.send(open, signal))] : []
            return batch.map(record =>
              open.includes(record) ? results.shift()! : { ok: false, error: refused([record]) }
            )
          },
          close: () => inner.close()
        }
      },
      ...(transactions && {
        transactions: () => ({
          producer: async id => {
            const inner = await transactions.call(adapter).producer(id)
            return {
              async commit(batch) {
                const error = refused(batch.records)
                return error ? { outcome: 'aborted', error } : inner.commit(batch)
              },
              close: () => inner.close()
            }
          }
        })
      })
    }
  }
}
