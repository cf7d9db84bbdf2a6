/** A run that is started while its broker or its store is away, with real servers: it comes up when they are there, or is stopped. */
import { mkdtemp, rm } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, inject, it, onTestFinished } from 'vitest'
import { brokers, stores } from '../../chaos/servers.ts'
import { smallDisk, unmount } from '../../faults/cell.ts'
import { fillUp } from '../../faults/faults.ts'
import {
  connect,
  number,
  pipeline,
  sink,
  source,
  text,
  topic,
  type Client,
  type ConnectOptions
} from '../../src/index.ts'
import { running as hasPostgres } from '../support/postgres.ts'

const numbers = topic('numbers', { key: text, value: number, partitions: 1 })

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-start-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

interface Started {
  readonly client: Client
  readonly seen: number[]
  readonly stop: AbortController
  readonly ended: Promise<void>
}

/** A client of what is there; then `takeAway`, and a run begins. */
async function startWithout(options: ConnectOptions, takeAway: () => unknown): Promise<Started> {
  const client = await connect({ variables: {}, ...options })
  onTestFinished(() => client.close())
  await takeAway()
  const seen: number[] = []
  const feed = source({
    name: 'feed',
    to: numbers,
    async *run({ signal }) {
      for (let value = 0; value < 3; value++) yield { key: 'a', value, cursor: value }
      await new Promise(resolve => signal.addEventListener('abort', resolve))
    }
  })
  const collect = sink({
    name: 'collect',
    from: numbers,
    write: records => void seen.push(...records.map(({ value }) => value))
  })
  const stop = new AbortController()
  const ended = client.run(pipeline('app', [feed, collect]), {
    handleSignals: false,
    signal: stop.signal,
    unreachableAfter: 2_000,
    drainTimeout: 5_000
  })
  // Told by the test where it looks; a rejection before is one all the same.
  ended.catch(() => {})
  onTestFinished(() => stop.abort())
  return { client, seen, stop, ended }
}

/** @throws what the run has rejected with meanwhile */
async function until({ ended }: Started, is: () => boolean, timeout: number): Promise<void> {
  const deadline = performance.now() + timeout
  while (!is()) {
    await Promise.race([ended.then(() => Promise.reject(new Error('the run has ended'))), sleep(50)])
    if (performance.now() > deadline) throw new Error(`not within ${timeout} ms`)
  }
}

async function comesUp(started: Started, giveBack: () => unknown): Promise<void> {
  const { client, seen, stop, ended } = started
  const isRed = (): boolean => client.health().problems.some(({ cause }) => cause === 'unreachable')
  await until(started, isRed, 20_000)
  expect(client.health()).toMatchObject({ live: true, ready: false, runs: [{ phase: 'starting' }] })
  // Longer than the eight attempts of a call, which took about six seconds.
  await until(started, () => false, 10_000).catch(error => expect((error as Error).message).toBe('not within 10000 ms'))
  expect(isRed()).toBe(true)
  await giveBack()
  await until(started, () => seen.length >= 3 && client.health().ready, 40_000)
  expect(seen).toEqual([0, 1, 2])
  expect(client.health()).toMatchObject({ live: true, ready: true, problems: [] })
  stop.abort()
  await ended
}

async function stops({ stop, ended }: Started): Promise<void> {
  await sleep(3_000)
  stop.abort()
  const told = performance.now()
  await ended
  expect(performance.now() - told).toBeLessThan(6_000)
}

describe('a run that starts', { timeout: 120_000 }, () => {
  it('while the log of a `file:` broker is locked comes up when it is free', async () => {
    const url = `file:${join(folder, 'data')}?lockTimeout=200`
    const holder = new Map<string, DatabaseSync>()
    const started = await startWithout({ brokers: { default: url } }, () => {
      const database = new DatabaseSync(join(folder, 'data', 'log.db'))
      holder.set('log', database)
      database.exec('BEGIN IMMEDIATE')
    })
    await comesUp(started, () => holder.get('log')!.close())
  })

  it('while the disk of its store is full comes up when there is room', async context => {
    const disk = await smallDisk()
    if (!disk) return context.skip('no disk can be mounted here (it takes root on Linux)')
    onTestFinished(() => unmount(disk))
    let makeRoom: () => Promise<void> = async () => {}
    const options = { brokers: { default: `file:${folder}` }, store: `sqlite:${disk}/commits.db` }
    const started = await startWithout(options, async () => (makeRoom = await fillUp(disk)))
    await comesUp(started, () => makeRoom())
    await started.client.close()
  })

  describe.runIf(inject('backends').includes('kafka'))('while Kafka is away', () => {
    it('comes up when it is there', async () => {
      await using broker = await brokers['kafka']!()
      const started = await startWithout({ brokers: { default: broker.url } }, () => broker.proxy!.cut())
      await comesUp(started, () => broker.proxy!.restore())
      await started.client.close()
    })

    it('ends when it is stopped', async () => {
      await using broker = await brokers['kafka']!()
      const started = await startWithout({ brokers: { default: broker.url } }, () => broker.proxy!.cut())
      await stops(started)
      await started.client.close()
    })
  })

  describe.runIf(hasPostgres)('while its store in PostgreSQL is away', () => {
    const optionsOf = (url: string): ConnectOptions => ({
      brokers: { default: 'memory:start' },
      store: `${url}?connectTimeout=1000`
    })

    it('comes up when it is there', async () => {
      await using store = await stores['postgres']!()
      const started = await startWithout(optionsOf(store.url), () => store.proxy!.cut())
      await comesUp(started, () => store.proxy!.restore())
      await started.client.close()
    })

    it('ends when it is stopped', async () => {
      await using store = await stores['postgres']!()
      const started = await startWithout(optionsOf(store.url), () => store.proxy!.cut())
      await stops(started)
      await started.client.close()
    })

    it('ends when its password is refused', async () => {
      await using store = await stores['postgres']!()
      const wrong = store.url.replace(/:\/\/([^:]+):[^@]+@/, '://$1:wrong@')
      const { ended } = await startWithout(optionsOf(wrong), () => {})
      await expect(ended).rejects.toMatchObject({ code: 'unauthorized', retryable: false })
    })
  })
})
