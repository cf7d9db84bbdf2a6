/**
 * `node worker.ts FILE MODE [N OWNERS]`: a process that writes through `sqlite`, for the tests that need several of them.
 * `crash`: dies by SIGKILL inside the transaction, after its rows are written. `count`: writes 1 to N, one commit each,
 * as one of several owners that take the task from each other.
 */
import { setTimeout } from 'node:timers/promises'
import type { SqliteStore } from '../../src/exactly-once/index.ts'
import { sqlite } from '../../src/sqlite.ts'
import { commit, record, task } from './record.ts'

const [file = '', mode, most, owners] = process.argv.slice(2)
const writer = await sqlite<ReturnType<typeof record<{ n: number; owner: number }>>>({
  file,
  table: 'numbers',
  create: 'CREATE TABLE numbers (n INTEGER NOT NULL, owner INTEGER NOT NULL)'
}).open()
const stage = (log: Parameters<typeof writer.stage>[0], ...numbers: number[]): void =>
  writer.stage(
    log,
    numbers.map(n => writer.prepare(record({ n, owner: process.pid })))
  )

if (mode === 'crash') {
  const log = await writer.store.acquire(task())
  stage(log, 1)
  await log.append(commit(1))
  stage(log, 2, 3)
  const staged = log as typeof log & { withCommit: (database: unknown) => void }
  const { withCommit } = staged
  staged.withCommit = database => {
    withCommit(database)
    process.kill(process.pid, 'SIGKILL')
  }
  await log.append(commit(2))
}

if (mode === 'count') {
  // All of them are here before the first begins.
  const { database } = writer.store as SqliteStore
  database.exec('CREATE TABLE IF NOT EXISTS present (pid)')
  database.prepare('INSERT INTO present VALUES (?)').run(process.pid)
  const present = database.prepare('SELECT count(*) AS owners FROM present')
  while (Number(present.get()?.owners) < Number(owners)) await setTimeout(5)
  console.log(await count(Number(most)))
}
await writer.close()

/** Goes on behind whoever wrote last; when fenced, takes the task back. Tells how often it was fenced. */
async function count(most: number): Promise<number> {
  for (let fenced = 0; ; fenced++) {
    const log = await writer.store.acquire(task())
    for (let number = (log.last?.number ?? 0) + 1; ; number++) {
      if (number > most) return fenced
      stage(log, number)
      if ((await log.append(commit(number))) !== 'ok') break
      await setTimeout(1) // lets go of the lock for a moment
    }
  }
}
