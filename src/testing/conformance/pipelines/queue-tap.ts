import type { Delivery } from '../../../spec/index.ts'
import type { CaseContext } from '../context.ts'

/** Everything that is written to a topic of a queue since the tap was opened, repeats included. Closed with its case. */
export class QueueTap {
  readonly #records: Delivery[][]
  #failure: unknown

  private constructor(partitions: number) {
    this.#records = Array.from({ length: partitions }, () => [])
  }

  static async open(context: CaseContext, topic: string, partitions: number): Promise<QueueTap> {
    const tap = new QueueTap(partitions)
    const adapter = await context.adapter()
    const stop = new AbortController()
    const all = Array.from({ length: partitions }, (_, partition) => partition)
    const group = context.name('tap')
    const subscription = await adapter.queueSubscription!({ group, topic, partitions: all, maxBytes: 4 << 20 })
    const reading = (async () => {
      while (!stop.signal.aborted) {
        const deliveries = await subscription.receive({ wait: 500, signal: stop.signal })
        for (const delivery of deliveries) tap.#records[delivery.partition]!.push(delivery)
        await subscription.acknowledge(deliveries.map(({ id }) => id))
      }
    })().catch((error: unknown) => (tap.#failure ??= error))
    context.keep({
      async close() {
        stop.abort()
        await reading
        await subscription.close()
      }
    })
    return tap
  }

  records(partition: number): readonly Delivery[] {
    if (this.#failure) throw this.#failure
    return this.#records[partition]!
  }
}
