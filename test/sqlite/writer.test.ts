import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import type { TaskLog } from '../../src/exactly-once/index.ts'
import { sqlite, type SqliteOptions } from '../../src/sqlite.ts'
import { databaseFile, rowsOf } from './fixture.ts'
import { commit, record, task } from './record.ts'

type Numbers = ReturnType<typeof record<{ n: number }>>

const create = 'CREATE TABLE numbers (n INTEGER NOT NULL)'

async function open(options: Partial<SqliteOptions<any>> & { file: string }): Promise<{
  write(log: TaskLog, ...values: unknown[]): void
  acquire(ordinal?: number): Promise<TaskLog>
}> {
  const writer = await sqlite<any>({ table: 'numbers', create, ...options }).open()
  const { onTestFinished } = await import('vitest')
  onTestFinished(() => writer.close())
  return {
    write: (log, ...values) =>
      writer.stage(
        log,
        values.map(value => writer.prepare(record(value)))
      ),
    acquire: ordinal => writer.store.acquire(task(ordinal))
  }
}

const numbers = (file: string): unknown[] => rowsOf(file, 'SELECT n FROM numbers ORDER BY rowid').map(({ n }) => n)
const commits = (file: string): unknown[] => rowsOf(file, 'SELECT number FROM tidemark_head').map(each => each.number)

test('the rows of a commit appear with the commit, never before it', async () => {
  const file = await databaseFile()
  const writer = await open({ file })
  const log = await writer.acquire()
  writer.write(log, { n: 1 }, { n: 2 })
  expect(numbers(file)).toEqual([])
  expect(await log.append(commit(1))).toBe('ok')
  expect([numbers(file), commits(file)]).toEqual([[1, 2], [1]])
  writer.write(log)
  expect(await log.append(commit(2))).toBe('ok')
  expect([numbers(file), commits(file)]).toEqual([[1, 2], [2]])
})

test('an old owner writes nothing, even with the commit number that is due', async () => {
  const file = await databaseFile()
  const old = await open({ file })
  const young = await open({ file })
  const oldLog = await old.acquire()
  old.write(oldLog, { n: 1 })
  await oldLog.append(commit(1))
  const youngLog = await young.acquire()
  expect(youngLog.last?.number).toBe(1)
  old.write(oldLog, { n: 666 })
  expect(await oldLog.append(commit(2))).toBe('fenced')
  young.write(youngLog, { n: 2 })
  expect(await youngLog.append(commit(2))).toBe('ok')
  old.write(oldLog, { n: 666 })
  expect(await oldLog.append(commit(3))).toBe('fenced')
  expect([numbers(file), commits(file)]).toEqual([[1, 2], [2]])
})

test('an append that is tried again writes its rows again: the first attempt left none', async () => {
  const file = await databaseFile()
  const writer = await open({ file })
  const log = await writer.acquire()
  const staged = log as TaskLog & { withCommit: (database: DatabaseSync) => void }
  writer.write(log, { n: 1 })
  const { withCommit } = staged
  staged.withCommit = database => {
    withCommit(database)
    throw Object.assign(new Error('disk full'), { errcode: 13 })
  }
  expect(await log.append(commit(1))).toBe('unknown')
  expect(await log.readBack()).toMatchObject({ last: undefined })
  expect(numbers(file)).toEqual([])
  staged.withCommit = withCommit
  expect(await log.append(commit(1))).toBe('ok')
  expect(numbers(file)).toEqual([1])
})

test('a row that the database refuses takes the whole commit with it, and says which table', async () => {
  const file = await databaseFile()
  const writer = await open({ file, create: 'CREATE TABLE numbers (n INTEGER CHECK (n < 10))' })
  const log = await writer.acquire()
  writer.write(log, { n: 1 }, { n: 10 })
  const append = log.append(commit(1))
  await expect(append).rejects.toMatchObject({ code: 'handler', message: expect.stringContaining("'numbers'") })
  expect([numbers(file), commits(file)]).toEqual([[], [0]])
})

test('with a key, a row replaces the one that is there; without, each is inserted', async () => {
  const file = await databaseFile()
  const row = ({ value }: Numbers): { n: number; 'last "seen"': number } => ({ n: value.n % 2, 'last "seen"': value.n })
  const create = 'CREATE TABLE "odd ""name""" (n INTEGER PRIMARY KEY, "last ""seen""" INTEGER)'
  const writer = await open({ file, table: 'odd "name"', create, key: ['n'], row })
  const log = await writer.acquire()
  writer.write(log, { n: 1 }, { n: 2 }, { n: 3 })
  await log.append(commit(1))
  writer.write(log, { n: 4 })
  await log.append(commit(2))
  expect(rowsOf(file, 'SELECT * FROM "odd ""name""" ORDER BY n')).toEqual([
    { n: 0, 'last "seen"': 4 },
    { n: 1, 'last "seen"': 3 }
  ])
})

test('a row of nothing but its key, and rows of different columns', async () => {
  const file = await databaseFile()
  const writer = await open({ file, create: 'CREATE TABLE numbers (n INTEGER PRIMARY KEY, name TEXT)', key: ['n'] })
  const log = await writer.acquire()
  writer.write(log, { n: 1 }, { n: 1 }, { n: 2, name: 'two' }, { name: 'one', n: 1 }, { n: 2 })
  await log.append(commit(1))
  expect(rowsOf(file, 'SELECT * FROM numbers ORDER BY n')).toEqual([
    { n: 1, name: 'one' },
    { n: 2, name: 'two' }
  ])
})

test('every kind of value comes back; what SQLite cannot hold is refused with the name of the column', async () => {
  const file = await databaseFile()
  const writer = await open({ file, create: 'CREATE TABLE numbers (a, b, c, d, e, f)' })
  const log = await writer.acquire()
  writer.write(log, { a: 'text', b: 1.5, c: 2n ** 40n, d: true, e: null, f: new Uint8Array([1, 2]) })
  await log.append(commit(1))
  expect(rowsOf(file, 'SELECT * FROM numbers')).toEqual([
    { a: 'text', b: 1.5, c: 2 ** 40, d: 1, e: null, f: new Uint8Array([1, 2]) }
  ])
  for (const value of [undefined, new Date(), { nested: 1 }, [1], () => 1]) {
    expect(() => writer.write(log, { b: value })).toThrow(
      expect.objectContaining({ code: 'bad-record', message: expect.stringContaining("column 'b'") })
    )
  }
  for (const value of [7, 'text', null]) expect(() => writer.write(log, value)).toThrow(/an object of columns/)
})

test('a record without a row leaves none', async () => {
  const file = await databaseFile()
  const writer = await open({ file, row: ({ value }: Numbers) => (value.n % 2 === 0 ? undefined : { n: value.n }) })
  const log = await writer.acquire()
  writer.write(log, { n: 1 }, { n: 2 }, { n: 3 })
  await log.append(commit(1))
  expect(numbers(file)).toEqual([1, 3])
})

test('a table that is there is taken as it is; a missing one and a key without an index are refused at the start', async () => {
  const file = await databaseFile()
  await expect(open({ file, create: undefined } as never)).rejects.toMatchObject({
    code: 'bad-config',
    message: expect.stringContaining("no table 'numbers'")
  })
  await expect(open({ file, create: 'CREATE TABLE digits (n)' })).rejects.toMatchObject({ code: 'bad-config' })
  const writer = await open({ file })
  const again = await open({ file, create: 'this is not run' })
  await expect(open({ file, key: ['n'] })).rejects.toMatchObject({
    code: 'bad-config',
    message: expect.stringContaining('primary key')
  })
  expect(() => sqlite({ file, table: 'numbers', key: [] })).toThrow(/names no column/)
  for (const [ordinal, each] of [writer, again].entries()) {
    const log = await each.acquire(ordinal)
    each.write(log, { n: ordinal })
    await log.append(commit(1))
  }
  expect(numbers(file)).toEqual([0, 1])
})
