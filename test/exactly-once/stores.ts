import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import { systemEnvironment } from '../../src/core/environment.ts'
import { noHeaders, type OutgoingRecord } from '../../src/core/record.ts'
import {
  BrokerStore,
  changelogTopic,
  commitToken,
  MemoryStore,
  SqliteStore,
  type Commit,
  type CommitStore,
  type TaskLog,
  type TaskName
} from '../../src/exactly-once/index.ts'
import type { StateRow } from '../../src/state/index.ts'
import { storedRows } from '../support/stored-rows.ts'

/** A commit store under test. Two stores from `again` share what is durable, as two processes would. */
export interface StoreKit {
  readonly name: string
  readonly store: CommitStore
  /** The same data, another owner. */
  again(): Promise<CommitStore>
  /** The next append answers `unknown`: without effect, or with. */
  lose(): void
  hide(): void
  /** What readers see of the outputs: those that the store has sent itself, or still holds. */
  close(): Promise<void>
}

export const task: TaskName = { id: 'p/s/1', pipeline: 'p', stage: 's', ordinal: 1 }
export const other: TaskName = { id: 'p/s/5', pipeline: 'p', stage: 's', ordinal: 5 }

export async function memoryKit(): Promise<StoreKit> {
  const store = new MemoryStore()
  const once = (fault: 'lose' | 'hide') => () => {
    store.faults = () => {
      store.faults = undefined
      return fault
    }
  }
  return {
    name: 'memory',
    store,
    again: async () => store,
    lose: once('lose'),
    hide: once('hide'),
    close: () => store.close()
  }
}

/** SQLite answers `unknown` when the file is locked or full; here the test takes the statement away. */
export async function sqliteKit(path: string): Promise<StoreKit> {
  const store = await SqliteStore.open(path)
  const opened = [store]
  const once = (effect: boolean) => () => {
    const { transaction } = store
    store.transaction = async body => {
      store.transaction = transaction
      if (effect) await transaction.call(store, body)
      throw Object.assign(new Error('database is locked'), { errcode: 5 })
    }
  }
  return {
    name: 'sqlite',
    store,
    async again() {
      const more = await SqliteStore.open(path)
      opened.push(more)
      return more
    },
    lose: once(false),
    hide: once(true),
    close: async () => {
      for (const each of opened) await each.close()
    }
  }
}

export async function brokerKit(): Promise<StoreKit & { readonly broker: MemoryBroker }> {
  const broker = new MemoryBroker()
  broker.createTopic({ topic: changelogTopic('p', 's'), partitions: 4 })
  broker.createTopic({ topic: 'out', partitions: 2 })
  const open = async (): Promise<CommitStore> => {
    const adapter = memory({ broker })
    await adapter.open(systemEnvironment)
    return new BrokerStore(adapter, 4)
  }
  return {
    name: 'broker',
    broker,
    store: await open(),
    again: open,
    lose: () => broker.faults.failTransaction({ effect: 'none' }),
    hide: () => broker.faults.failTransaction({ effect: 'committed' }),
    close: async () => {}
  }
}

export const output = (value: string): OutgoingRecord => ({
  topic: 'out',
  partition: 1,
  key: Buffer.from('k'),
  value: Buffer.from(value),
  headers: noHeaders,
  stamp: Buffer.from('stamp'),
  timestamp: 5
})

export function commitOf(number: number, more: Partial<Commit> = {}): Commit {
  return {
    number,
    token: commitToken(systemEnvironment),
    head: Buffer.from(`head ${number}`),
    state: [],
    outputs: [],
    relayedTo: 0,
    positions: [],
    ...more
  }
}

export const row = (key: string, value: string | null, slot = 'total'): StateRow => ({
  slot,
  key,
  value: value === null ? null : Buffer.from(value)
})

export const rowsOf = async (log: TaskLog): Promise<string[]> =>
  (await storedRows(log.state)).map(({ slot, key, value }) => `${slot} ${key} ${Buffer.from(value!).toString()}`).sort()

export const unsentOf = (log: TaskLog): string[] =>
  log.unsent.flatMap(({ commit, outputs }) => outputs.map(({ value }) => `${commit} ${Buffer.from(value!).toString()}`))
