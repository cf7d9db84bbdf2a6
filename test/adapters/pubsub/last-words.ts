import { fromUrl, pubsub } from '../../../src/adapters/pubsub/index.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import { decodeStamp } from '../../../src/core/stamp.ts'
import { atEnd } from './server.ts'
import type { Audited } from './storm-pipeline.ts'

export interface LastWords {
  /** The newest word on each account: the one with the highest sequence of its partition's task. */
  readonly last: ReadonlyMap<string, Audited>
  /** Deposits that the newest words speak of. */
  counted(): number
  /** How often a record came that had come before. */
  repeats(): number
}

/** Reads what the storm's second stage writes to a topic of one partition, as a reader without dedupe would. */
export async function lastWords(url: string, topic: string): Promise<LastWords> {
  const adapter = pubsub(fromUrl(url))
  await adapter.open(systemEnvironment)
  const subscription = await adapter.queueSubscription!({ group: 'watcher', topic, partitions: [0], maxBytes: 1 << 20 })
  const last = new Map<string, Audited & { sequence: number }>()
  const seen = new Set<string>()
  let repeated = 0
  const stop = new AbortController()
  const reading = (async () => {
    while (!stop.signal.aborted) {
      const deliveries = await subscription.receive({ wait: 500, signal: stop.signal })
      for (const { key, value, stamp } of deliveries) {
        const account = Buffer.from(key!).toString()
        const { sequence, producer } = decodeStamp(stamp!)
        const id = `${producer} ${sequence}`
        if (seen.has(id)) repeated++
        seen.add(id)
        if (sequence > (last.get(account)?.sequence ?? 0))
          last.set(account, { ...JSON.parse(Buffer.from(value!).toString()), sequence })
      }
      await subscription.acknowledge(deliveries.map(({ id }) => id))
    }
  })().catch(() => {})
  atEnd(async () => {
    stop.abort()
    await reading
    await adapter.close()
  })
  return {
    last,
    counted: () => [...last.values()].reduce((sum, { count }) => sum + count, 0),
    repeats: () => repeated
  }
}
