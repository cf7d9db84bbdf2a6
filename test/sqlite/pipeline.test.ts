import { expect, test } from 'vitest'
import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import { connect, json, pipeline, sink, source, text, topic, type Client } from '../../src/index.ts'
import { sqlite } from '../../src/sqlite.ts'
import { databaseFile, rowsOf } from './fixture.ts'

interface Reading {
  readonly n: number
  readonly name: string | null
}

const readings = topic('readings', { key: text, value: json<Reading>(), partitions: 2 })

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

async function using(broker: MemoryBroker, work: (client: Client) => Promise<void>): Promise<void> {
  const client = await connect({ brokers: { default: memory({ broker }) }, variables: {} })
  try {
    await work(client)
  } finally {
    await client.close()
  }
}

const create = 'CREATE TABLE readings (n INTEGER NOT NULL, name TEXT)'

test('a sink loads a table: every record is a row, and the position is in the same file', async () => {
  const file = await databaseFile()
  const load = sink({ name: 'load', from: readings, write: sqlite({ file, table: 'readings', create }) })
  const values = Array.from({ length: 500 }, (_, n) => ({ n, name: n % 3 === 0 ? null : `reading ${n}` }))
  await using(new MemoryBroker(), client => client.run(pipeline('p', [emit(values), load])))
  expect(rowsOf(file, 'SELECT * FROM readings ORDER BY n')).toEqual(values)
  const heads = rowsOf(file, "SELECT task, number FROM tidemark_head WHERE task LIKE 'p/load/%' ORDER BY task")
  expect(heads).toMatchObject([{ task: 'p/load/0' }, { task: 'p/load/1' }])
  for (const { number } of heads) expect(number).toBeGreaterThan(0)
})

test('a run that starts again goes on behind the rows: what the broker forgot of the group does not matter', async () => {
  const file = await databaseFile()
  const broker = new MemoryBroker()
  const write = sqlite({ file, table: 'readings', create })
  const load = sink({ name: 'load', from: readings, write })
  const values = Array.from({ length: 100 }, (_, n) => ({ n, name: null }))
  const loaded = (): number => rowsOf(file, 'SELECT * FROM readings').length
  const runUntil = async (client: Client, rows: number): Promise<void> => {
    const stop = new AbortController()
    const running = client.run(pipeline('p', [load]), { signal: stop.signal, commitInterval: 5 })
    await expect.poll(loaded, { timeout: 10_000 }).toBe(rows)
    stop.abort()
    await running
  }
  await using(broker, async client => {
    // Before the first run there is no table to look at.
    await (await write.open()).close()
    const producer = await client.producer(readings)
    await producer.sendAll(values.slice(0, 50).map(value => ({ key: `k${value.n}`, value })))
    await runUntil(client, 50)
    await producer.sendAll(values.slice(50).map(value => ({ key: `k${value.n}`, value })))
    await runUntil(client, 100)
    await producer.close()
  })
  expect(rowsOf(file, 'SELECT * FROM readings ORDER BY n')).toEqual(values)
})

test('a record that makes no row is parked, the others are written', async () => {
  const file = await databaseFile()
  const load = sink({
    name: 'load',
    from: readings,
    failure: { retries: 1, backoff: { first: 1, most: 1 } },
    write: sqlite({ file, table: 'readings', create })
  })
  const values = [
    { n: 1, name: 'one' },
    { n: 2, name: { first: 'two' } },
    { n: 3, name: 'three' }
  ]
  const parked: unknown[] = []
  await using(new MemoryBroker(), async client => {
    await client.run(pipeline('p', [emit(values), load]))
    const poison = topic('readings.parked', { key: text, value: json<Reading>() })
    for await (const { value } of client.consumer(poison, { group: 'look' })) {
      parked.push(value)
      break
    }
  })
  expect(rowsOf(file, 'SELECT n FROM readings ORDER BY n')).toEqual([{ n: 1 }, { n: 3 }])
  expect(parked).toEqual([values[1]])
})

test('a row that the database refuses ends the run with the reason', async () => {
  const file = await databaseFile()
  const load = sink({
    name: 'load',
    from: readings,
    write: sqlite({ file, table: 'readings', create: 'CREATE TABLE readings (n INTEGER UNIQUE, name TEXT)' })
  })
  const twice = [
    { n: 1, name: null },
    { n: 1, name: null }
  ]
  const run = using(new MemoryBroker(), client => client.run(pipeline('p', [emit(twice), load])))
  await expect(run).rejects.toMatchObject({ code: 'handler', message: expect.stringContaining('UNIQUE') })
})
