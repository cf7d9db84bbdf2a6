import { describe, expect, test } from 'vitest'
import { postgres } from '../../src/postgres.ts'
import { asked, connected } from '../support/postgres.ts'
import { commit, commits, destination, notRun, numbers, open, record, running } from './fixture.ts'

type Numbers = ReturnType<typeof record<{ n: number }>>

describe.skipIf(!running)(`the transactional sink${notRun}`, () => {
  test('shows the rows of a commit with the commit, never before it', async () => {
    const to = destination()
    const writer = await open(to)
    const log = await writer.acquire()
    writer.write(log, { n: 1 }, { n: 2 })
    expect(await numbers(to)).toEqual([])
    expect(await log.append(commit(1))).toBe('ok')
    expect([await numbers(to), await commits(to)]).toEqual([[1, 2], [1]])
    writer.write(log)
    expect(await log.append(commit(2))).toBe('ok')
    expect([await numbers(to), await commits(to)]).toEqual([[1, 2], [2]])
  })

  test('writes nothing of an old owner, even with the commit number that is due', async () => {
    const to = destination()
    const old = await open(to)
    const young = await open(to)
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
    expect([await numbers(to), await commits(to)]).toEqual([[1, 2], [2]])
  })

  test('writes nothing of an old owner with a key either', async () => {
    const to = destination()
    const options = { create: to.create('n integer PRIMARY KEY, who text'), key: ['n'] }
    const [old, young] = [await open(to, options), await open(to, options)]
    const oldLog = await old.acquire()
    const youngLog = await young.acquire()
    young.write(youngLog, { n: 1, who: 'young' })
    await youngLog.append(commit(1))
    old.write(oldLog, { n: 1, who: 'old' }, { n: 2, who: 'old' })
    expect(await oldLog.append(commit(2))).toBe('fenced')
    expect(await to.rows()).toEqual([{ n: 1, who: 'young' }])
  })

  test('writes rows again with an append that is tried again: the first attempt left none', async () => {
    const to = destination()
    const writer = await open(to, { url: `${to.url}&statementTimeout=300` })
    const log = await writer.acquire()
    writer.write(log, { n: 1 })
    const other = await connected()
    await other.query('BEGIN')
    await other.query(`SELECT * FROM ${to.table.split('.')[0]}.head FOR UPDATE`)
    expect(await log.append(commit(1))).toBe('unknown')
    await other.end()
    expect(await log.readBack()).toMatchObject({ last: undefined })
    expect(await numbers(to)).toEqual([])
    expect(await log.append(commit(1))).toBe('ok')
    expect(await numbers(to)).toEqual([1])
  })

  test('a row that the database refuses takes the whole commit with it, and says which table', async () => {
    const to = destination()
    const writer = await open(to, { create: to.create('n integer CHECK (n < 10)') })
    const log = await writer.acquire()
    const refusals: [row: object, why: string][] = [
      [{ n: 10 }, 'check constraint'],
      [{ n: 'ten' }, 'invalid input syntax for type integer'],
      [{ m: 1 }, 'column "m" of relation "numbers" does not exist'],
      [{ n: 2 ** 40 }, 'out of range']
    ]
    for (const [row, why] of refusals) {
      writer.write(log, { n: 1 }, row)
      const append = log.append(commit(1))
      await expect(append).rejects.toMatchObject({ code: 'handler', message: expect.stringContaining(why) })
      await expect(append).rejects.toThrow(/postgres table 'test_\w+.numbers' refused a row/)
      expect([await numbers(to), await commits(to)]).toEqual([[], [0]])
    }
  })

  test('with a key, a row replaces the one that is there; without, each is inserted', async () => {
    const to = destination('odd "name"')
    const row = ({ value }: Numbers): object => ({ n: value.n % 2, 'last "seen"': value.n })
    const create = to.create('n integer PRIMARY KEY, "last ""seen""" integer')
    const writer = await open(to, { create, key: ['n'], row: row as never })
    const log = await writer.acquire()
    writer.write(log, { n: 1 }, { n: 2 }, { n: 3 })
    await log.append(commit(1))
    writer.write(log, { n: 4 })
    await log.append(commit(2))
    expect(await to.rows('SELECT * FROM % ORDER BY n')).toEqual([
      { n: 0, 'last "seen"': 4 },
      { n: 1, 'last "seen"': 3 }
    ])
    const plain = destination()
    const inserting = await open(plain)
    const other = await inserting.acquire()
    inserting.write(other, { n: 1 }, { n: 1 })
    await other.append(commit(1))
    expect(await numbers(plain)).toEqual([1, 1])
  })

  test('a row of nothing but its key, and rows of different columns', async () => {
    const to = destination()
    const writer = await open(to, { create: to.create('n integer PRIMARY KEY, name text, size integer'), key: ['n'] })
    const log = await writer.acquire()
    writer.write(log, { n: 1 }, { n: 1 })
    await log.append(commit(1))
    writer.write(log, { n: 1 }, { n: 2, name: 'two' }, { name: 'one', n: 1 }, { n: 2 }, { n: 3, size: 3 })
    await log.append(commit(2))
    expect(await to.rows('SELECT * FROM % ORDER BY n')).toEqual([
      { n: 1, name: 'one', size: null },
      { n: 2, name: 'two', size: null },
      { n: 3, name: null, size: 3 }
    ])
    const plain = destination()
    const inserting = await open(plain, { create: plain.create("n integer DEFAULT 7, name text DEFAULT 'nobody'") })
    const other = await inserting.acquire()
    inserting.write(other, { n: 1 }, {}, { name: 'two' }, {})
    await other.append(commit(1))
    expect(await plain.rows('SELECT * FROM % ORDER BY n, name')).toEqual([
      { n: 1, name: 'nobody' },
      { n: 7, name: 'nobody' },
      { n: 7, name: 'nobody' },
      { n: 7, name: 'two' }
    ])
  })

  test('keys are equal when the database says so', async () => {
    const to = destination()
    const writer = await open(to, { create: to.create('n numeric PRIMARY KEY, name text'), key: ['n'] })
    const log = await writer.acquire()
    writer.write(log, { n: 1, name: 'first' }, { n: '1.0', name: 'second' }, { n: 1n, name: 'third' })
    expect(await log.append(commit(1))).toBe('ok')
    expect(await to.rows()).toEqual([{ n: '1', name: 'third' }])
  })

  test('every kind of value comes back', async () => {
    const to = destination()
    const columns = `a text, b float8, c numeric, d boolean, e integer, f bytea, g timestamptz, h jsonb, i integer[],
      j text[], k jsonb, l float8, m bigint, o jsonb`
    const writer = await open(to, { create: to.create(columns) })
    const log = await writer.acquire()
    const time = new Date('2026-02-03T04:05:06.789Z')
    writer.write(log, {
      ...{
        a: 'text with \' " \\ and é \u{1f600}',
        b: 1.5,
        c: 2n ** 80n,
        d: true,
        e: null,
        f: new Uint8Array([0, 255])
      },
      ...{ g: time, h: { deep: [1, 'two', null] }, i: [1, 2], j: ['a,b', '"', null], k: 'plain', l: Number.NaN },
      ...{ m: 2n ** 60n, o: [] }
    })
    expect(await log.append(commit(1))).toBe('ok')
    expect(await to.rows()).toEqual([
      {
        ...{ a: 'text with \' " \\ and é \u{1f600}', b: 1.5, c: String(2n ** 80n), d: true, e: null },
        ...{ f: Buffer.from([0, 255]), g: time, h: { deep: [1, 'two', null] }, i: [1, 2], j: ['a,b', '"', null] },
        ...{ k: 'plain', l: Number.NaN, m: String(2n ** 60n), o: [] }
      }
    ])
  })

  test('what no column can hold is refused with the name of the column, as a failure of that record', async () => {
    const to = destination()
    const writer = await open(to, { create: to.create('n integer PRIMARY KEY, b jsonb'), key: ['n'] })
    const log = await writer.acquire()
    const circular: { self?: unknown } = {}
    circular.self = circular
    for (const value of [undefined, new Date(Number.NaN), () => 1, Symbol('s')])
      expect(() => writer.write(log, { n: 1, b: value })).toThrow(
        expect.objectContaining({ code: 'bad-record', message: expect.stringContaining("column 'b'") })
      )
    expect(() => writer.write(log, { n: 1, b: circular })).toThrow(expect.objectContaining({ code: 'bad-record' }))
    for (const value of [{ b: 1 }, { n: null }]) expect(() => writer.write(log, value)).toThrow(/column 'n' of its key/)
    for (const value of [7, 'text', null, [1]]) expect(() => writer.write(log, value)).toThrow(/an object of columns/)
  })

  test('a record without a row leaves none', async () => {
    const to = destination()
    const row = ({ value }: Numbers): { n: number } | undefined => (value.n % 2 === 0 ? undefined : { n: value.n })
    const writer = await open(to, { row })
    const log = await writer.acquire()
    writer.write(log, { n: 1 }, { n: 2 }, { n: 3 })
    await log.append(commit(1))
    expect(await numbers(to)).toEqual([1, 3])
  })

  test('a table that is there is taken as it is; a missing one and a key without an index are refused at the start', async () => {
    const to = destination()
    await expect(open(to, { create: undefined } as never)).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining(`no table '${to.table}'`)
    })
    await expect(open(to, { create: 'SELECT 1' })).rejects.toMatchObject({ code: 'bad-config' })
    const [writer, again] = await Promise.all([open(to), open(to)])
    const third = await open(to, { create: 'this is not run' })
    await expect(open(to, { key: ['n'] })).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining('primary key')
    })
    await expect(open(to, { key: ['m'] })).rejects.toMatchObject({ code: 'bad-config' })
    expect(() => postgres({ url: to.url, table: 'numbers', key: [] })).toThrow(/names no column/)
    await expect(open(to, { statement: 1 } as never)).rejects.toThrow(/unknown option 'statement'/)
    for (const [ordinal, each] of [writer, again, third].entries()) {
      const log = await each.acquire(ordinal)
      each.write(log, { n: ordinal })
      await log.append(commit(1))
    }
    expect(await numbers(to)).toEqual([0, 1, 2])
  })

  test('a role that may not write the table is told so at the start', async () => {
    const to = destination()
    const first = await open(to)
    const schema = to.table.split('.')[0]!
    const role = `role_${schema}`
    await asked(`CREATE ROLE ${role} LOGIN PASSWORD 'p'`)
    await asked(`GRANT USAGE ON SCHEMA ${schema} TO ${role}`)
    await asked(`GRANT SELECT ON ${schema}.version TO ${role}`)
    const as = new URL(to.url)
    as.username = role
    as.password = 'p'
    try {
      await expect(open(to, { url: as.href })).rejects.toMatchObject({
        code: 'unauthorized',
        message: expect.stringMatching(/permission denied for table numbers.*docs\/stores\.md/)
      })
    } finally {
      await asked(`DROP OWNED BY ${role}`)
      await asked(`DROP ROLE ${role}`)
    }
    expect(first).toBeDefined()
  })
})
