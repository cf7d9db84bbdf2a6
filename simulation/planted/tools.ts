import type { ClientStore, TaskLog, TaskName } from '../../src/exactly-once/index.ts'
import type { AnyAdapter, Delivery, QueueSubscription } from '../../src/spec/index.ts'

/** A store whose task logs are changed. */
export function withLogs(store: ClientStore, change: (log: TaskLog, task: TaskName) => TaskLog): ClientStore {
  return new Proxy(store, {
    get(_, name) {
      const member = Reflect.get(store, name, store) as unknown
      if (name === 'acquire') return async (task: TaskName) => change(await store.acquire(task), task)
      return typeof member === 'function' ? (member.bind(store) as unknown) : member
    }
  })
}

/** A queue whose deliveries pass a filter: what it refuses is acknowledged, and gone. */
export function withDeliveries(
  adapter: AnyAdapter,
  keep: (delivery: Delivery, group: string, topic: string) => boolean
): AnyAdapter {
  return {
    ...adapter,
    queueSubscription: async options => {
      const inner = await adapter.queueSubscription!(options)
      const receive: QueueSubscription['receive'] = async given => {
        const deliveries = await inner.receive(given)
        const refused = deliveries.filter(delivery => !keep(delivery, options.group, options.topic))
        await inner.acknowledge(refused.map(({ id }) => id))
        return deliveries.filter(delivery => !refused.includes(delivery))
      }
      return { ...bound(inner), receive }
    }
  }
}

export function bound(inner: QueueSubscription): QueueSubscription {
  return {
    receive: options => inner.receive(options),
    acknowledge: ids => inner.acknowledge(ids),
    release: ids => inner.release(ids),
    extend: (ids, milliseconds) => inner.extend(ids, milliseconds),
    close: () => inner.close()
  }
}
