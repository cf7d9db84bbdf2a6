/** A changelog in memory, on a simulated clock, with owners and workers that stand by. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { expect } from 'vitest'
import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import type { Diagnostics } from '../../src/core/diagnostics.ts'
import { sleep } from '../../src/core/environment.ts'
import { BrokerStore, changelogTopic, type TaskLog, type TaskName } from '../../src/exactly-once/index.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'
import { storedRows } from '../support/stored-rows.ts'
import { commitOf, row } from './stores.ts'

export const partitions = 4
export const taskOf = (ordinal: number): TaskName => ({ id: `p/s/${ordinal}`, pipeline: 'p', stage: 's', ordinal })
export const task: TaskName = taskOf(1)
export const changelog: string = changelogTopic('p', 's')

export let broker: MemoryBroker
export let environment: SimulatedEnvironment
/** What the acquisitions have read of changelogs. */
export let read: Diagnostics['changelog-read'][]
const onRead = (message: unknown): void => void read.push(message as Diagnostics['changelog-read'])

/** Before each test. */
export function setUp(): void {
  broker = new MemoryBroker()
  broker.createTopic({ topic: changelog, partitions })
  environment = new SimulatedEnvironment({ seed: 1 })
  read = []
  subscribe('tidemark:changelog-read', onRead)
}
/** After each test. */
export const tearDown = (): void => void unsubscribe('tidemark:changelog-read', onRead)

export async function openStore(client: string, standby?: { maxBytes: number }): Promise<BrokerStore> {
  const adapter = memory({ broker, client })
  await adapter.open(environment)
  return new BrokerStore(adapter, partitions, standby && { environment, ...standby })
}

export const run = <Result>(body: () => Promise<Result>): Promise<Result> => environment.run(body())

/** An owner with `count` rows, one commit each. */
export async function fill(
  store: BrokerStore,
  count: number,
  of: TaskName = task,
  name: string = 'key'
): Promise<TaskLog> {
  const log = await store.acquire(of)
  for (let number = 1; number <= count; number++)
    expect(await log.append(commitOf(number, { state: [row(`${name} ${number}`, `${number}`)] }))).toBe('ok')
  return log
}

async function rowsOf(log: TaskLog): Promise<readonly string[]> {
  return (await storedRows(log.state)).map(({ slot, key, value }) => `${slot} ${key} ${Buffer.from(value!).toString()}`)
}

export async function followed(store: BrokerStore, ids: readonly string[] = [task.id]): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (ids.every(id => store.standby!.following.includes(id))) return
    await sleep(environment, 500)
  }
  throw new Error(`it follows ${store.standby!.following}`)
}

export interface TakenOver {
  readonly log: TaskLog
  readonly rows: readonly string[]
  readonly records: number
  readonly standby: boolean
}

/** Takes over with the standby and, right after it, without: both must have the same. Gives what the first has read. */
export async function takeOver(store: BrokerStore): Promise<TakenOver> {
  read.length = 0
  const log = await store.acquire(task)
  const all = {
    records: read.reduce((sum, { records }) => sum + records, 0),
    standby: read.every(each => each.standby)
  }
  const whole = await (await openStore(`plain ${read.length} ${environment.monotonic()}`)).acquire(task)
  expect(log.last).toEqual(whole.last)
  const rows = (await rowsOf(log)).toSorted()
  expect(rows).toEqual((await rowsOf(whole)).toSorted())
  return { log, rows, ...all }
}

export const plenty = { maxBytes: 1_000_000 }
