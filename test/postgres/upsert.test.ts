import { describe, expect, onTestFinished, test } from 'vitest'
import { postgresUpsert, type PostgresUpsertOptions } from '../../src/postgres.ts'
import { asked, port, through } from '../support/postgres.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { destination, notRun, record, running, type Destination } from './fixture.ts'

const context = { task: 'p/load/0', signal: new AbortController().signal, watermark: -Infinity }

async function open(
  to: Destination,
  options: Partial<PostgresUpsertOptions<any>> = {}
): Promise<(...values: unknown[]) => Promise<void>> {
  const { url, table } = to
  const create = to.create('n integer PRIMARY KEY, who text, version bigint')
  const schema = table.split('.')[0]!
  await asked(`CREATE SCHEMA IF NOT EXISTS ${schema}`)
  const writer = await postgresUpsert<any>({ url, table, create, key: ['n'], ...options }).open()
  onTestFinished(() => writer.close())
  return async (...values) => void (await writer.write(values.map(record), context))
}

describe.skipIf(!running)(`the upsert sink${notRun}`, () => {
  test('writes by key, again with the same effect, and leaves no tables of ours', async () => {
    const to = destination()
    const write = await open(to)
    for (let times = 0; times < 2; times++) await write({ n: 1, who: 'a' }, { n: 2, who: 'b' }, { n: 1, who: 'c' })
    await write()
    expect(await to.rows('SELECT n, who FROM % ORDER BY n')).toEqual([
      { n: 1, who: 'c' },
      { n: 2, who: 'b' }
    ])
    const tables = 'SELECT tablename FROM pg_tables WHERE schemaname = $1'
    expect(await asked(tables, [to.table.split('.')[0]])).toEqual([{ tablename: 'numbers' }])
  })

  test('with `newest`, an older row replaces nothing, in one batch or later', async () => {
    const to = destination()
    const write = await open(to, { newest: 'version' })
    await write(
      { n: 1, who: 'new', version: 10 },
      { n: 1, who: 'old', version: 9 },
      { n: 2, who: 'x', version: 2n ** 60n }
    )
    await write({ n: 1, who: 'older', version: 1 }, { n: 2, who: 'y', version: String(2n ** 60n) })
    expect(await to.rows('SELECT n, who FROM % ORDER BY n')).toEqual([
      { n: 1, who: 'new' },
      { n: 2, who: 'y' }
    ])
    await expect(write({ n: 1, who: 'no version' })).rejects.toMatchObject({
      code: 'bad-record',
      message: expect.stringContaining("column 'version'")
    })
    await write({ n: 1, version: 11 }, { n: 1, who: 'newest', version: 12 }, { n: 1, who: 'between', version: 11 })
    expect(await to.rows('SELECT who FROM % WHERE n = 1')).toEqual([{ who: 'newest' }])
  })

  test('needs no more than the right to write the table', async () => {
    const to = destination()
    await open(to)
    const schema = to.table.split('.')[0]!
    const role = `role_${schema}`
    await asked(`CREATE ROLE ${role} LOGIN PASSWORD 'p'`)
    onTestFinished(async () => {
      await asked(`DROP OWNED BY ${role}`)
      await asked(`DROP ROLE ${role}`)
    })
    await asked(`GRANT USAGE ON SCHEMA ${schema} TO ${role}`)
    await asked(`GRANT SELECT, INSERT, UPDATE ON ${to.table} TO ${role}`)
    const as = new URL(to.url)
    as.username = role
    as.password = 'p'
    const write = await open(to, { url: as.href })
    await write({ n: 1, who: 'role' })
    expect(await to.rows('SELECT who FROM %')).toEqual([{ who: 'role' }])
  })

  test('tells rows that are refused from a server that is away', async () => {
    const to = destination()
    const proxy = await TcpProxy.start(port)
    onTestFinished(() => proxy.close())
    const write = await open(to, { url: through(proxy.port, to.url) })
    await expect(write({ n: 'one' })).rejects.toMatchObject({ code: 'bad-record', retryable: false })
    await expect(write({ m: 1 })).rejects.toMatchObject({ code: 'bad-record' })
    proxy.cut()
    await expect(write({ n: 1 })).rejects.toMatchObject({ code: 'connection', retryable: true })
    proxy.restore()
    await write({ n: 1 })
    expect(await to.rows('SELECT n FROM %')).toEqual([{ n: 1 }])
    await expect(open(to, { key: ['who'] })).rejects.toMatchObject({ code: 'bad-config' })
    expect(() => postgresUpsert({ url: to.url, table: 'numbers', key: [] })).toThrow(/names no column/)
  })
})
