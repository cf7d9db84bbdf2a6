import assert from 'node:assert/strict'
import { systemEnvironment } from '../../core/environment.ts'
import type { AnyAdapter, Delivery, QueueSubscription } from '../../spec/index.ts'
import type { CaseContext } from './context.ts'

export interface QueueReaderOptions {
  readonly group: string
  readonly topic: string
  /** Default: 0 alone. */
  readonly partitions?: readonly number[]
  readonly maxBytes?: number
  readonly adapter?: AnyAdapter
}

/** A subscription as a case reads it. */
export class QueueReader {
  readonly subscription: QueueSubscription
  /** Everything that was delivered, repeats included. */
  readonly deliveries: Delivery[] = []
  readonly #context: CaseContext

  private constructor(context: CaseContext, subscription: QueueSubscription) {
    this.#context = context
    this.subscription = subscription
  }

  static async open(context: CaseContext, options: QueueReaderOptions): Promise<QueueReader> {
    const adapter = options.adapter ?? (await context.adapter())
    const { group, topic, partitions = [0], maxBytes = 1 << 20 } = options
    assert.ok(adapter.queueSubscription, 'an adapter without positions must have queueSubscription')
    const open = (): Promise<QueueSubscription> => adapter.queueSubscription!({ group, topic, partitions, maxBytes })
    return new QueueReader(context, context.keep(await context.retrying(adapter, open)))
  }

  /** One receive. */
  async step(wait: number = 200): Promise<readonly Delivery[]> {
    const deliveries = await this.subscription.receive({ wait, signal: this.#context.signal })
    this.deliveries.push(...deliveries)
    return deliveries
  }

  /** Receives, and acknowledges unless told otherwise, until so many different records are there. */
  async take(count: number, acknowledge: boolean = true): Promise<readonly Delivery[]> {
    const taken = new Map<string, Delivery>()
    for (const deadline = this.#context.deadline(); taken.size < count;) {
      assert.ok(systemEnvironment.monotonic() < deadline, `waited in vain for ${count} records, ${taken.size} came`)
      const deliveries = await this.step()
      for (const delivery of deliveries) taken.set(delivery.position, delivery)
      if (acknowledge && deliveries.length > 0)
        assert.deepEqual(await this.subscription.acknowledge(deliveries.map(({ id }) => id)), [], 'all are confirmed')
    }
    return [...taken.values()]
  }

  /** Receives for a while: what comes, if anything. */
  async linger(milliseconds: number): Promise<readonly Delivery[]> {
    const found: Delivery[] = []
    for (const end = systemEnvironment.monotonic() + milliseconds; ;) {
      const left = end - systemEnvironment.monotonic()
      if (left <= 0) return found
      found.push(...(await this.step(Math.min(left, 100))))
    }
  }
}

/** Values in ascending order: a queue need not keep any. */
export function sortedTexts(deliveries: readonly Pick<Delivery, 'value'>[]): string[] {
  const values = deliveries.map(({ value }) => (value === null ? '<null>' : Buffer.from(value).toString()))
  return values.toSorted((left, right) => Number(left) - Number(right))
}
