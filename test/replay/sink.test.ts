/** A transactional sink is replayed where it commits: at its destination. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it, onTestFinished } from 'vitest'
import { run } from '../../src/cli/run.ts'
import { connect, json, pipeline, sink, text, topic } from '../../src/index.ts'
import { sqlite } from '../../src/sqlite.ts'
import { rowsOf } from '../sqlite/fixture.ts'

const sales = topic('sales', { key: text, value: json<{ id: number }>(), partitions: 2 })

it('gets the rows again, by a call and by the command', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-replay-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const destination = join(folder, 'rows.db')
  const broker = `file:${folder}/log`
  const rows = (): number[] => rowsOf(destination, 'SELECT id FROM sales ORDER BY id').map(({ id }) => Number(id))
  const app = pipeline('warehouse', [
    sink({
      name: 'load',
      from: sales,
      write: sqlite({ file: destination, table: 'sales', create: 'CREATE TABLE sales (id)' })
    })
  ])
  const client = await connect({ brokers: { default: broker }, variables: {} })
  onTestFinished(() => client.close())
  const work = async (count: number): Promise<void> => {
    const stop = new AbortController()
    const running = client.run(app, { handleSignals: false, signal: stop.signal, commitInterval: 10 })
    running.catch(() => stop.abort())
    while (!stop.signal.aborted && (await sleep(50), rows().length) < count);
    stop.abort()
    await running
  }
  await client.admin.ensure(sales)
  const producer = await client.producer(sales)
  for (let id = 0; id < 4; id++) await producer.send({ key: `k${id}`, value: { id } })
  await work(4)
  await client.admin.replay(app, { from: 'earliest', state: 'reset' })
  await work(8)
  expect(rows()).toEqual([0, 0, 1, 1, 2, 2, 3, 3])
  const words = ['warehouse/load', '--topic', 'sales', '--broker', broker, '--store', `sqlite:${destination}`]
  const lines: string[] = []
  const terminal = { out: (line: string) => void lines.push(line), error: console.error, variables: {} }
  expect(await run(['replay', ...words, '--from', 'earliest', '--state', 'keep'], terminal)).toBe(0)
  expect(lines.at(-1)).toBe('2 partitions were set')
  await work(12)
  expect(rows()).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
}, 60_000)
