import { randomUUID } from 'node:crypto'
import { afterEach, describe, expect, inject, it, onTestFinished } from 'vitest'
import { PostgresStore } from '../../src/exactly-once/index.ts'
import { schemaSql } from '../../src/exactly-once/stores/postgres-schema.ts'
import { postgresAvailable, startPostgres } from '../../testcontainers/postgres.ts'
import { asked, connected, notRun, running, schemaOf, storeUrl, waiting, withOptions } from '../support/postgres.ts'
import { Owner, checkedChain, retried } from './postgres-owner.ts'
import { commitOf, output, row, rowsOf, task, unsentOf } from './stores.ts'
import { storedRows } from '../support/stored-rows.ts'

const opened: PostgresStore[] = []
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
})

async function open(url: string): Promise<PostgresStore> {
  const store = await PostgresStore.open({ url })
  opened.push(store)
  return store
}

/** A role of its own, with settings of its own; gives the URL as that role. */
async function asRole(url: string, ...statements: string[]): Promise<string> {
  const role = `role_${randomUUID().slice(0, 8)}`
  await asked(`CREATE ROLE ${role} LOGIN PASSWORD 'p'`)
  onTestFinished(async () => {
    await asked(`DROP OWNED BY ${role}`)
    await asked(`DROP ROLE ${role}`)
  })
  for (const statement of statements) await asked(statement.replaceAll('%', role).replaceAll('@', schemaOf(url)))
  const changed = new URL(url)
  changed.username = role
  changed.password = 'p'
  return changed.href
}

/** As `docs/stores.md` has them. */
const grants = [
  'GRANT USAGE ON SCHEMA @ TO %',
  'GRANT SELECT ON @.version TO %',
  'GRANT SELECT, INSERT, UPDATE ON @.head, @.position TO %',
  'GRANT SELECT, INSERT, DELETE ON @.outbox TO %',
  'GRANT SELECT, INSERT, UPDATE, DELETE ON @.state, @.lease TO %'
]

/** Every statement that there is. */
async function everything(store: PostgresStore): Promise<void> {
  const log = await store.acquire(task)
  expect(await log.append(commitOf(1, { outputs: [output('a')], state: [row('a', '1'), row('b', '2')] }))).toBe('ok')
  expect(await log.append(commitOf(2, { state: [row('a', null)], relayedTo: 1 }))).toBe('ok')
  expect(await log.readBack()).toMatchObject({ last: { number: 2 } })
  const again = await store.acquire(task)
  expect([await rowsOf(again), unsentOf(again)]).toEqual([['total b 2'], []])
  expect(await store.take('g', '0', 'me', undefined)).toBe(true)
  await store.beat('g', 'me')
  await store.ask('g', '0', 'you')
  const [seen] = await store.leases('g')
  expect(seen).toEqual({ name: '0', owner: 'me', beat: 2, wish: 'you' })
  const holding = { scope: 'g', owner: 'me', names: ['0'] }
  expect(await store.storePositions('g', [{ topic: 't', partition: 0, position: '1' }], holding)).toBe(true)
  expect(await store.storePositions('g', [{ topic: 't', partition: 0, position: '2' }])).toBe(true)
  expect(await store.positions('g', 't')).toEqual(new Map([[0, '2']]))
  expect(await store.take('g', '0', 'you', seen)).toBe(true)
  await store.release('g', '0', 'you')
  const [free] = await store.leases('g')
  await store.remove('g', '0', free!)
  expect(await store.leases('g')).toEqual([])
}

describe.skipIf(!running)(`PostgresStore${notRun}`, () => {
  it('prepares a new schema once, however many begin at the same time', async () => {
    const url = storeUrl()
    const stores = await Promise.all(Array.from({ length: 8 }, () => open(url)))
    expect(await asked(`SELECT version FROM ${schemaOf(url)}.version`)).toEqual([{ version: 1 }])
    const epochs = await Promise.all(stores.map(async store => (await store.acquire(task)).epoch))
    expect(new Set(epochs).size).toBe(8)
  })

  it('does all of its work with the grants of the manual, on a schema that somebody else has made', async () => {
    const url = storeUrl()
    await asked(schemaSql(schemaOf(url)))
    const worker = await asRole(withOptions(url, { migrate: 'false' }), ...grants)
    await everything(await open(worker))
    // `migrate` does not matter when there is nothing to do.
    await open(withOptions(worker, { migrate: 'true' }))
  })

  it('says what is missing when it may not make its tables, or not see them', async () => {
    const url = storeUrl()
    await expect(open(withOptions(url, { migrate: 'false' }))).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringMatching(/schema 'test_\w+' holds no tables, and `migrate` is false.*docs\/stores\.md/)
    })
    const nobody = await asRole(url)
    await expect(open(nobody)).rejects.toMatchObject({
      code: 'unauthorized',
      message: expect.stringMatching(/permission denied for database .*grants/)
    })
    await open(url)
    await expect(open(nobody)).rejects.toMatchObject({
      code: 'unauthorized',
      message: expect.stringMatching(/permission denied for schema .*grants/)
    })
    const wrong = new URL(nobody)
    wrong.password = 's3cret'
    const refused = await open(wrong.href).catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: 'unauthorized', message: expect.stringContaining('authentication failed') })
    expect(String(refused)).not.toContain('s3cret')
    const nowhere = new URL(url)
    nowhere.pathname = '/nowhere'
    await expect(open(nowhere.href)).rejects.toMatchObject({ code: 'bad-config', retryable: false })
  })

  it('refuses tables of a newer release', async () => {
    const url = storeUrl()
    await open(url)
    await asked(`UPDATE ${schemaOf(url)}.version SET version = 2`)
    await expect(open(url)).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining('made by a newer release (version 2, this one reads 1)')
    })
  })

  it.each([
    ['prepare', 'false', []],
    ['statementTimeout', '0', []],
    ['schema', 'Odd "name" é', []],
    ['migrate', 'true', ["ALTER ROLE % SET default_transaction_isolation = 'serializable'"]],
    [
      'migrate',
      'true',
      ["ALTER ROLE % SET bytea_output = 'escape'", "ALTER ROLE % SET standard_conforming_strings = 'off'"]
    ],
    ['migrate', 'true', ["ALTER ROLE % SET search_path = 'pg_catalog'", "ALTER ROLE % SET DateStyle = 'German'"]]
  ])('does all of its work with %s %s %s', async (option, value, settings) => {
    const plain = storeUrl({ [option]: value })
    if (option === 'schema')
      onTestFinished(async () => void (await asked(`DROP SCHEMA "${value.replaceAll('"', '""')}" CASCADE`)))
    const url = settings.length > 0 ? await asRole(plain, 'GRANT CREATE ON DATABASE postgres TO %', ...settings) : plain
    await everything(await open(url))
  })

  it.each(['read committed', 'repeatable read', 'serializable'])(
    'keeps one history when two contend, with isolation %s',
    async isolation => {
      const isolated = `ALTER ROLE % SET default_transaction_isolation = '${isolation}'`
      const url = await asRole(storeUrl(), 'GRANT CREATE ON DATABASE postgres TO %', isolated)
      const [one, two] = [await open(url), await open(url)]
      let fenced = 0
      const contend = async (store: PostgresStore): Promise<void> => {
        while (fenced < 5) {
          const owner = new Owner(store, task)
          await owner.acquire()
          for (let commits = 0; commits < 5 && (await owner.commit()); commits++)
            await new Promise(resolve => setTimeout(resolve, Math.random() * 5))
          if (!owner.held) fenced++
        }
      }
      await Promise.all([contend(one), contend(two)])
      expect(await checkedChain(one, task)).toBeGreaterThan(0)
    }
  )

  it('reads back more state than one answer holds, with keys of any bytes', async () => {
    const url = storeUrl()
    const log = await (await open(url)).acquire(task)
    const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString('latin1')
    const rows = Array.from({ length: 25_001 }, (_, index) =>
      row(`${every}${index}`, `${index}`, `slot ${index % 3} é`)
    )
    expect(await log.append(commitOf(1, { state: [row('', 'no key'), ...rows] }))).toBe('ok')
    const again = await (await open(url)).acquire(task)
    const state = await storedRows(again.state)
    expect(state).toHaveLength(25_002)
    const found = new Map(state.map(({ slot, key, value }) => [`${slot} ${key}`, Buffer.from(value!).toString()]))
    const wrong = rows.filter(({ slot, key, value }) => found.get(`${slot} ${key}`) !== Buffer.from(value!).toString())
    expect(wrong).toEqual([])
    expect(await again.append(commitOf(2, { state: rows.map(each => ({ ...each, value: null })) }))).toBe('ok')
    expect(await rowsOf(await (await open(url)).acquire(task))).toEqual(['total  no key'])
  })

  it('stores no positions of a member whose lease is being taken, whoever is faster', async () => {
    const url = storeUrl()
    const store = await open(url)
    await store.take('g', '0', 'me', undefined)
    await store.take('g', '1', 'me', undefined)
    const holding = { scope: 'g', owner: 'me', names: ['0', '1'] }
    const place = { topic: 't', partition: 0 }
    const other = await connected()
    onTestFinished(() => other.end())
    const take = `UPDATE ${schemaOf(url)}.lease SET owner = 'you', beat = beat + 1 WHERE name = '1'`
    await other.query('BEGIN')
    await other.query(take)
    const storing = store.storePositions('g', [{ ...place, position: 'late' }], holding)
    await waiting(schemaOf(url), 1)
    await other.query('COMMIT')
    expect(await storing).toBe(false)
    expect(await store.positions('g', 't')).toEqual(new Map())
    // Not taken after all: it is still ours.
    const [, lease] = (await store.leases('g')).toSorted((left, right) => (left.name < right.name ? -1 : 1))
    await store.take('g', '1', 'me', lease)
    await other.query('BEGIN')
    await other.query(take)
    const again = store.storePositions('g', [{ ...place, position: 'good' }], holding)
    await waiting(schemaOf(url), 1)
    await other.query('ROLLBACK')
    expect(await again).toBe(true)
    expect(await store.positions('g', 't')).toEqual(new Map([[0, 'good']]))
  })

  it('tells a damaged outbox as corrupt', async () => {
    const url = storeUrl()
    const store = await open(url)
    await (await store.acquire(task)).append(commitOf(1, { outputs: [output('a')] }))
    await asked(`UPDATE ${schemaOf(url)}.outbox SET outputs = '\\x0102'`)
    await expect(store.acquire(task)).rejects.toMatchObject({ code: 'corrupt' })
    // The connection is still good, or another one.
    expect(await store.leases('g')).toEqual([])
  })

  it('calls a server that takes no writes away for a while, and a lost right final', async () => {
    const url = storeUrl()
    await open(url)
    const worker = await asRole(url, ...grants)
    const store = await open(worker)
    const log = await store.acquire(task)
    await asked(`REVOKE UPDATE ON ${schemaOf(url)}.head FROM ${new URL(worker).username}`)
    await expect(log.append(commitOf(1))).rejects.toMatchObject({ code: 'unauthorized', retryable: false })
    const reader = await asRole(url, ...grants, 'ALTER ROLE % SET default_transaction_read_only = on')
    await expect((await open(reader)).acquire(task)).rejects.toMatchObject({ code: 'connection', retryable: true })
  })

  it('shares a few connections between all tasks, and gives leases one of their own', async () => {
    const name = `app ${randomUUID()}`
    const url = withOptions(storeUrl({ connections: '2' }), { application_name: name })
    const store = await open(url)
    const owners = Array.from({ length: 12 }, (_, ordinal) => new Owner(store, { ...task, id: `p/s/${ordinal}` }))
    await Promise.all(owners.map(owner => owner.acquire()))
    await Promise.all([...owners.map(owner => owner.commit()), store.leases('g')])
    const text = 'SELECT count(*)::int AS sessions FROM pg_stat_activity WHERE application_name = $1'
    expect(await asked(text, [name])).toEqual([{ sessions: 3 }])
    await store.close()
    await expect.poll(async () => (await asked(text, [name]))[0].sessions).toBe(0)
  })
})

const reason = inject('backends').includes('postgres') ? await postgresAvailable() : 'BACKENDS leaves out postgres'

describe.skipIf(reason)(
  `a PostgreSQL that acknowledges what it has not written${reason ? ` (not run: ${reason})` : ''}`,
  () => {
    it('is made to write commits before it acknowledges them', async () => {
      await using server = await startPostgres({ settings: { synchronous_commit: 'off', wal_writer_delay: '10s' } })
      const url = withOptions(server.url, { schema: 'lazy' })
      const store = await PostgresStore.open({ url })
      // The tables themselves came by the server's own rules.
      await asked('CHECKPOINT', [], server.url)
      for (let crash = 0; crash < 3; crash++) {
        const log = await retried(() => store.acquire(task))
        const number = (log.last?.number ?? 0) + 1
        expect(number).toBe(crash + 1)
        expect(await log.append(commitOf(number))).toBe('ok')
        await server.kill()
        await server.restart()
      }
      await store.close()
    }, 60_000)
  }
)
