import { describe, expect, onTestFinished, test } from 'vitest'
import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import {
  connect,
  json,
  keyed,
  number,
  pipeline,
  processor,
  sink,
  source,
  text,
  topic,
  type Client,
  type ConnectOptions,
  type RecordOf
} from '../../src/index.ts'
import { postgres, postgresStore, postgresUpsert } from '../../src/postgres.ts'
import { asked, port, schemaOf, storeUrl, through } from '../support/postgres.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { destination, notRun, running } from './fixture.ts'

interface Reading {
  readonly n: number
  readonly name: string | null
}

const readings = topic('readings', { key: text, value: json<Reading>(), partitions: 2 })
const counts = topic('counts', { key: text, value: number, partitions: 2 })

function emit(values: readonly unknown[]): ReturnType<typeof source> {
  return source({
    name: 'emit',
    to: readings,
    *run({ resume }) {
      for (let index = Number(resume ?? 0); index < values.length; index++)
        yield { key: `k${index % 7}`, value: values[index] as Reading, cursor: index + 1 }
    }
  })
}

const count = processor({
  name: 'count',
  from: readings,
  to: counts,
  state: { seen: keyed(number, 0) },
  process({ key }, { state }) {
    const seen = (state.seen.get() ?? 0) + 1
    state.seen.set(seen)
    return { key, value: seen }
  }
})

async function using(
  broker: MemoryBroker,
  store: ConnectOptions['store'],
  work: (client: Client) => Promise<void>
): Promise<void> {
  const client = await connect({
    brokers: { default: memory({ broker }) },
    variables: {},
    ...(store !== undefined && { store })
  })
  try {
    await work(client)
  } finally {
    await client.close()
  }
}

async function counted(client: Client): Promise<string[]> {
  const found: string[] = []
  for await (const { key, value } of client.consumer(counts, { group: 'look' })) {
    found.push(`${key} ${value}`)
    if (found.length === 210) break
  }
  return found.toSorted()
}

const values = Array.from({ length: 210 }, (_, n) => ({ n, name: n % 3 === 0 ? null : `reading ${n}` }))
const expected = Array.from({ length: 210 }, (_, n) => `k${n % 7} ${Math.floor(n / 7) + 1}`).toSorted()

describe.skipIf(!running)(`a pipeline with PostgreSQL${notRun}`, () => {
  test('commits in the store that `store` names: state, positions, leases of sources', async () => {
    const url = storeUrl()
    await using(new MemoryBroker(), url, async client => {
      await client.run(pipeline('p', [emit(values), count]), { commitInterval: 5 })
      expect(await counted(client)).toEqual(expected)
    })
    const tasks = await asked(`SELECT task FROM ${schemaOf(url)}.head WHERE number > 0 ORDER BY task`)
    expect(tasks.map(({ task }) => task)).toEqual(['p/count/0', 'p/count/1', 'p/emit/main'])
    expect(await asked(`SELECT count(*)::int AS keys FROM ${schemaOf(url)}.state WHERE slot = 'seen'`)).toEqual([
      { keys: 7 }
    ])
    // What was sent is forgotten.
    expect(await asked(`SELECT task FROM ${schemaOf(url)}.outbox`)).toEqual([])
  })

  test('goes on through broken connections: each effect once', async () => {
    const proxy = await TcpProxy.start(port)
    onTestFinished(() => proxy.close())
    const store = await postgresStore({ url: through(proxy.port, storeUrl()) })
    onTestFinished(() => store.close())
    let chunks = 0
    proxy.judge = ({ from }) => (++chunks % 23 === 0 ? 'cut' : chunks % 31 === 0 && from === 'server' ? 'half' : 'pass')
    await using(new MemoryBroker(), store, async client => {
      await client.run(pipeline('p', [emit(values), count]), { commitInterval: 2, commitRecords: 5 })
      expect(await counted(client)).toEqual(expected)
    })
    expect(proxy.opened).toBeGreaterThan(5)
  }, 60_000)

  test('loads a table: every record is a row, and the position is in the same database', async () => {
    const to = destination('readings')
    const create = to.create('n integer NOT NULL, name text')
    const load = sink({ name: 'load', from: readings, write: postgres({ url: to.url, table: to.table, create }) })
    await using(new MemoryBroker(), undefined, client => client.run(pipeline('p', [emit(values), load])))
    expect(await to.rows('SELECT * FROM % ORDER BY n')).toEqual(values)
    const heads = await to.rows('SELECT task, number::int FROM @.head ORDER BY task')
    expect(heads).toMatchObject([{ task: 'p/load/0' }, { task: 'p/load/1' }])
    for (const { number } of heads) expect(number).toBeGreaterThan(0)
  })

  test('goes on behind the rows when it starts again: what the broker forgot of the group does not matter', async () => {
    const to = destination('readings')
    const broker = new MemoryBroker()
    const write = postgres({ url: to.url, table: to.table, create: to.create('n integer NOT NULL, name text') })
    const load = sink({ name: 'load', from: readings, write })
    // Before the first run there is no table to look at.
    await (await write.open()).close()
    const runUntil = async (client: Client, rows: number): Promise<void> => {
      const stop = new AbortController()
      const running = client.run(pipeline('p', [load]), { signal: stop.signal, commitInterval: 5 })
      await expect.poll(async () => (await to.rows()).length, { timeout: 10_000 }).toBe(rows)
      stop.abort()
      await running
    }
    await using(broker, undefined, async client => {
      const producer = await client.producer(readings)
      await producer.sendAll(values.slice(0, 50).map(value => ({ key: `k${value.n}`, value })))
      await runUntil(client, 50)
      await producer.sendAll(values.slice(50).map(value => ({ key: `k${value.n}`, value })))
      await runUntil(client, values.length)
      await producer.close()
    })
    expect(await to.rows('SELECT * FROM % ORDER BY n')).toEqual(values)
  })

  test('parks a record that makes no row, and writes the others', async () => {
    const to = destination('readings')
    const load = sink({
      name: 'load',
      from: readings,
      failure: { retries: 1, backoff: { first: 1, most: 1 } },
      write: postgres({
        ...{ url: to.url, table: to.table, create: to.create('n integer NOT NULL, name text') },
        row({ value }: RecordOf<typeof readings>) {
          if (value.name === 'broken') throw new Error('no row of this')
          return { ...value }
        }
      })
    })
    const some = ['one', 'broken', 'three'].map((name, index) => ({ n: index + 1, name }))
    const parked: unknown[] = []
    await using(new MemoryBroker(), undefined, async client => {
      await client.run(pipeline('p', [emit(some), load]))
      const poison = topic('readings.parked', { key: text, value: json<Reading>() })
      for await (const { value } of client.consumer(poison, { group: 'look' })) {
        parked.push(value)
        break
      }
    })
    expect(await to.rows('SELECT n FROM % ORDER BY n')).toEqual([{ n: 1 }, { n: 3 }])
    expect(parked).toEqual([some[1]])
  })

  test('ends the run of the transactional sink with the reason when a row is refused', async () => {
    const to = destination('readings')
    const create = to.create('n integer PRIMARY KEY, name text NOT NULL')
    const load = sink({
      name: 'load',
      from: readings,
      write: postgres({ url: to.url, table: to.table, create, key: ['n'] })
    })
    const run = using(new MemoryBroker(), undefined, client =>
      client.run(pipeline('p', [emit([{ n: 1, name: null }]), load]))
    )
    await expect(run).rejects.toMatchObject({
      code: 'handler',
      message: expect.stringContaining('not-null constraint')
    })
  })

  test('parks the row that the database refuses to the upsert sink, and writes the others', async () => {
    const to = destination('readings')
    const create = to.create('n integer PRIMARY KEY, name text NOT NULL')
    const options = { url: to.url, table: to.table, create, key: ['n'] }
    // The upsert sink makes no schema.
    await (await postgres(options).open()).close()
    const load = sink({ name: 'load', from: readings, write: postgresUpsert(options) })
    const some = Array.from({ length: 20 }, (_, n) => ({ n, name: n === 13 ? null : 'good' }))
    await using(new MemoryBroker(), undefined, async client => {
      await client.run(pipeline('p', [emit(some), load]))
      const poison = topic('readings.parked', { key: text, value: json<Reading>() })
      for await (const { value, headers } of client.consumer(poison, { group: 'look' })) {
        expect(value).toEqual({ n: 13, name: null })
        expect(Buffer.from(headers['~parked-error']!).toString()).toContain('not-null constraint')
        break
      }
    })
    expect(await to.rows('SELECT count(*)::int AS rows FROM %')).toEqual([{ rows: 19 }])
  })

  test('writes by key with the upsert sink while the connection breaks', async () => {
    const to = destination('readings')
    const proxy = await TcpProxy.start(port)
    onTestFinished(() => proxy.close())
    const options = { table: to.table, key: ['n'], create: to.create('n integer PRIMARY KEY, name text') }
    await (await postgres({ ...options, url: to.url }).open()).close()
    const write = postgresUpsert({ ...options, url: through(proxy.port, to.url) })
    const load = sink({ name: 'load', from: readings, write })
    let chunks = 0
    proxy.judge = () => (++chunks % 13 === 0 ? 'cut' : 'pass')
    await using(new MemoryBroker(), undefined, client =>
      client.run(pipeline('p', [emit(values), load]), { commitInterval: 2, commitRecords: 5 })
    )
    expect(await to.rows('SELECT * FROM % ORDER BY n')).toEqual(values)
    expect(proxy.opened).toBeGreaterThan(2)
  }, 60_000)
})
