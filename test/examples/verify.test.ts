import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { recount } from '../../examples/flights/recount.ts'
import { verify } from '../../examples/flights/verify.ts'

const limit = 2_000

/** The result as it should be, then spoiled by a statement. */
async function spoiled(sql: string): Promise<ReturnType<typeof verify>> {
  const directory = await mkdtemp(join(tmpdir(), 'tidemark-verify-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const file = join(directory, 'flights.db')
  const database = new DatabaseSync(file)
  database.exec(`
    CREATE TABLE hours (airport, hour, departures, delay);
    CREATE TABLE late (scheduled, delay, distance, origin, destination);
    CREATE TABLE worst (week, place, airport, departures, meanDelay);
    BEGIN`)
  for (const [table, rows] of Object.entries(recount(limit))) {
    for (const row of rows) {
      const values = row.split(' ').map(value => (Number.isNaN(Number(value)) ? value : Number(value)))
      database.prepare(`INSERT INTO ${table} VALUES (${values.map(() => '?').join()})`).run(...values)
    }
  }
  database.exec(`COMMIT; ${sql}`)
  database.close()
  return verify(file, limit)
}

test('the right answer is verified', async () => {
  const { ok, line, differences } = await spoiled('')
  expect([ok, differences]).toEqual([true, []])
  expect(line).toBe('verified: 2000 in, 1752 out, 0 lost, 0 duplicated, 21 late')
})

test.for([
  ['a row twice', 'INSERT INTO hours SELECT * FROM hours LIMIT 1', '0 lost, 1 duplicated'],
  ['a row gone', 'DELETE FROM late WHERE rowid = 1', '1 lost, 0 duplicated'],
  ['a flight counted twice', 'UPDATE hours SET departures = departures + 1 WHERE rowid = 5', '1 lost, 1 duplicated'],
  ['another order of the worst', 'UPDATE worst SET place = 4 - place WHERE week = 978307200000', '2 lost, 2 duplicated']
] as const)('%s is not', async ([, sql, counts]) => {
  const { ok, line, differences } = await spoiled(sql)
  expect(ok).toBe(false)
  expect(line).toContain(counts)
  expect(line).toMatch(/^NOT verified/)
  expect(differences.length).toBeGreaterThan(0)
})
