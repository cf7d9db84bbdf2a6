import { decodeStamp, encodeStamp } from '../../src/core/stamp.ts'
import type { OutgoingRecord } from '../../src/core/record.ts'
import {
  MemoryStore,
  type ClientStore,
  type Commit,
  type TaskLog,
  type TaskName
} from '../../src/exactly-once/index.ts'
import type { World } from '../world/world.ts'
import type { Plant } from './plant.ts'
import { withLogs } from './tools.ts'

function stampedAnew(record: OutgoingRecord, epoch: number): OutgoingRecord {
  if (!record.stamp) return record
  const { producer, sequence, eventTime, watermark, late } = decodeStamp(record.stamp)
  const renamed = String.fromCharCode(epoch) + producer.slice(1)
  return { ...record, stamp: encodeStamp(renamed, sequence, eventTime, watermark, late) }
}

/** A store without conditions: the last writer wins. */
class BlindStore extends MemoryStore {
  readonly #tasks = new Map<string, { epoch: number; log: TaskLog }>()

  override async acquire(task: TaskName): Promise<TaskLog> {
    const log = await super.acquire(task)
    this.#tasks.set(task.id, { epoch: log.epoch, log })
    return {
      ...log,
      epoch: log.epoch,
      last: log.last,
      state: log.state,
      unsent: log.unsent,
      // Under the name of whoever holds it now.
      append: async (commit: Commit) => {
        const now = await super.acquire(task)
        const number = (now.last?.number ?? 0) + 1
        return now.append({ ...commit, number })
      },
      readBack: () => log.readBack(),
      close: () => log.close()
    }
  }
}

const blind = new WeakMap<World, ClientStore>()
const copies = new WeakMap<World, Map<string, ClientStore>>()

export const commitPlants: readonly Plant[] = [
  {
    name: 'M1',
    what: 'a new owner stamps the outbox anew, under its epoch',
    personality: 'log-ordered',
    store: store =>
      withLogs(store, log => ({
        ...log,
        unsent: log.unsent.map(({ commit, outputs }) => ({
          commit,
          outputs: outputs.map(record => stampedAnew(record, log.epoch))
        }))
      }))
  },
  {
    name: 'M4',
    what: 'a store per machine, copied now and then',
    personality: 'log-ordered',
    store: (store, machine, world) => {
      const all = copies.get(world) ?? new Map<string, ClientStore>()
      copies.set(world, all)
      all.set(machine.name, world.journal.watch(new MemoryStore()))
      const own = all.get(machine.name)!
      return new Proxy(store, {
        get(_, name) {
          const target = name === 'acquire' ? own : store
          const member = Reflect.get(target, name, target) as unknown
          return typeof member === 'function' ? (member.bind(target) as unknown) : member
        }
      })
    }
  },
  {
    name: 'M5',
    what: 'outputs are published before the commit, under the sequences that it would give them',
    personality: 'log-ordered',
    store: (store, machine, world) =>
      withLogs(store, log => ({
        ...log,
        append: async commit => {
          const producer = await world.adapter(`${machine.name} early`).producer()
          await machine.call('broker', 'send', () => producer.send(commit.outputs)).catch(() => {})
          return log.append(commit)
        }
      }))
  },
  {
    name: 'M6',
    what: 'a blind commit, a lease by time only',
    personality: 'log-leases',
    store: (store, _, world) => {
      let shared = blind.get(world)
      if (!shared) blind.set(world, (shared = world.journal.watch(new BlindStore())))
      const tasks = shared
      return new Proxy(store, {
        get(_, name) {
          const target = name === 'acquire' ? tasks : store
          const member = Reflect.get(target, name, target) as unknown
          return typeof member === 'function' ? (member.bind(target) as unknown) : member
        }
      })
    }
  },
  {
    name: 'no fence',
    what: 'a commit that was fenced is taken for one that took effect',
    personality: 'log-ordered',
    store: store =>
      withLogs(store, log => ({
        ...log,
        append: async commit => {
          const outcome = await log.append(commit)
          return outcome === 'fenced' ? 'ok' : outcome
        }
      }))
  },
  {
    name: 'guess',
    what: 'an unclear commit is taken for one that took effect',
    personality: 'log-ordered',
    store: store =>
      withLogs(store, log => ({
        ...log,
        append: async commit => {
          const outcome = await log.append(commit)
          return outcome === 'unknown' ? 'ok' : outcome
        }
      }))
  },
  {
    name: 'forgetful',
    what: 'the outbox forgets with the next commit, not with the relay',
    personality: 'log-ordered',
    store: store =>
      withLogs(store, log => ({ ...log, append: commit => log.append({ ...commit, relayedTo: commit.number - 1 }) }))
  }
]
