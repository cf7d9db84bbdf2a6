import { decodeStamp } from '../../src/core/stamp.ts'
import { durableProducer } from '../../src/pipeline/identity.ts'
import type { World } from '../world/world.ts'
import type { Plant } from './plant.ts'
import { bound, withDeliveries, withLogs } from './tools.ts'

/** Machine or nothing -> producer -> epoch. */
class Epochs {
  readonly #known = new Map<string, number>()

  set(machine: string, producer: string, epoch: number): void {
    this.#known.set(`${machine} ${producer}`, epoch)
  }

  of(machine: string, producer: string): number {
    return this.#known.get(`${machine} ${producer}`) ?? 0
  }
}

const relayers = new WeakMap<World, Epochs>()
const highest = new WeakMap<World, Map<string, number>>()

function epochsOf(world: World): Epochs {
  let known = relayers.get(world)
  if (!known) relayers.set(world, (known = new Epochs()))
  return known
}

/** Drops what comes with less than the most that has come so far: of one producer, in one partition, at one group. */
function isBehind(world: World, lane: string, value: number, strictly: boolean): boolean {
  let known = highest.get(world)
  if (!known) highest.set(world, (known = new Map()))
  const most = known.get(lane) ?? -1
  if (value > most) known.set(lane, value)
  return strictly ? value < most : value <= most
}

export const receiverPlants: readonly Plant[] = [
  {
    name: 'M2',
    what: 'a receiver fences by the epoch of the commit',
    personality: 'queue-unordered',
    adapter: (adapter, _, world) =>
      withDeliveries(adapter, ({ stamp, partition }, group, topic) => {
        if (!stamp) return true
        const { producer, sequence } = decodeStamp(stamp)
        const commit = world.journal.commits.find(({ outputs = [] }) =>
          outputs.some(record => {
            if (record.topic !== topic || record.partition !== partition || !record.stamp) return false
            const other = decodeStamp(record.stamp)
            return other.producer === producer && other.sequence === sequence
          })
        )
        return !isBehind(world, `${group} ${topic} ${partition} ${producer}`, commit?.epoch ?? 0, true)
      })
  },
  {
    name: 'M3',
    what: 'a receiver fences by the epoch of who relays',
    personality: 'queue-unordered',
    store: (store, machine, world) =>
      withLogs(store, (log, task) => {
        epochsOf(world).set(machine.name, durableProducer(task), log.epoch)
        return log
      }),
    adapter: (adapter, client, world) => {
      const filtered = withDeliveries(adapter, ({ stamp, partition, headers }, group, topic) => {
        const epoch = headers['epoch']
        if (!stamp || !epoch) return true
        return !isBehind(world, `${group} ${topic} ${partition} ${decodeStamp(stamp).producer}`, epoch[0]!, true)
      })
      return {
        ...filtered,
        producer: async () => {
          const inner = await adapter.producer()
          return {
            send: batch =>
              inner.send(
                batch.map(record =>
                  record.stamp
                    ? {
                        ...record,
                        headers: {
                          ...record.headers,
                          epoch: Buffer.from([epochsOf(world).of(client, decodeStamp(record.stamp).producer)])
                        }
                      }
                    : record
                )
              ),
            close: () => inner.close()
          }
        }
      }
    }
  },
  {
    name: 'M7',
    what: 'a high-water mark alone, on a channel that keeps no order',
    personality: 'queue-unordered',
    adapter: (adapter, _, world) =>
      withDeliveries(adapter, ({ stamp, partition }, group, topic) => {
        if (!stamp) return true
        const { producer, sequence } = decodeStamp(stamp)
        return !isBehind(world, `${group} ${topic} ${partition} ${producer}`, sequence, false)
      })
  },
  {
    name: 'ack first',
    what: 'a delivery is acknowledged when it comes, not after the commit',
    personality: 'queue-unordered',
    adapter: adapter => ({
      ...adapter,
      queueSubscription: async options => {
        const inner = await adapter.queueSubscription!(options)
        return {
          ...bound(inner),
          receive: async given => {
            const deliveries = await inner.receive(given)
            await inner.acknowledge(deliveries.map(({ id }) => id))
            return deliveries
          }
        }
      }
    })
  }
]
