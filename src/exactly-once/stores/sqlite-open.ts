import { mkdirSync, statfsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { asStreamError, messageOf, StreamError } from '../../core/errors.ts'
import { networkFileSystem } from '../../core/network-file-system.ts'
import { fileLimit } from './checkpointer.ts'
import { tables, version } from './sqlite-schema.ts'

/**
 * How long a call may wait for the lock of another process, ms: it blocks this one meanwhile, heartbeats included. An
 * append that is given up is unclear, and settled by reading back.
 */
const lockTimeout = 2_500

/**
 * Turns the write-ahead log on. Of several processes that open a new file at once one may be refused: SQLite does not wait for
 * the lock there, whatever its timeout, because two who hold a shared one would wait for each other.
 */
function journalAhead(database: DatabaseSync): void {
  const pause = new Int32Array(new SharedArrayBuffer(4))
  for (let attempt = 1; ; attempt++) {
    try {
      return database.exec('PRAGMA journal_mode = WAL')
    } catch (error) {
      const busy = ((error as { errcode?: number }).errcode ?? 0) % 256 === 5
      if (!busy || attempt === 100) throw error
      Atomics.wait(pause, 0, 0, attempt)
    }
  }
}

/** A lock that another process holds for long, or a disk that is full or fails: it may pass. */
export function isBusy(error: unknown): boolean {
  const { errcode, code } = (error ?? {}) as { readonly errcode?: number; readonly code?: string }
  if (errcode === undefined) return code === 'ENOSPC' || code === 'EDQUOT'
  return [5 /* busy */, 6 /* locked */, 10 /* i/o */, 13 /* full */].includes(errcode & 0xff)
}

/**
 * Opens or creates the database of a commit store, tables included. Errors: `corrupt` when it is not a database or was written
 * by a newer release, `bad-config` when it cannot be opened or is on a network file system, `timeout` (retryable) when it is
 * locked for long or the disk is full.
 */
export async function openSqlite(path: string): Promise<[file: string, database: DatabaseSync]> {
  const file = path === ':memory:' ? path : resolve(path)
  let database: DatabaseSync | undefined
  try {
    const { DatabaseSync } = await import('node:sqlite')
    if (file !== ':memory:') {
      mkdirSync(dirname(file), { recursive: true })
      refuseNetwork(dirname(file))
    }
    database = new DatabaseSync(file, { timeout: 10_000 })
    journalAhead(database)
    database.exec(`PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = ${fileLimit}`)
    database.exec(`BEGIN IMMEDIATE; ${tables} COMMIT;`)
    const found = (database.prepare('SELECT version FROM tidemark_version').get() as { version: number }).version
    if (found > version)
      throw new StreamError(
        'corrupt',
        `it was written by a newer release (version ${found}, this one reads ${version})`
      )
    database.exec(`PRAGMA busy_timeout = ${lockTimeout}`)
    return [file, database]
  } catch (error) {
    if (database?.isOpen) database.close()
    const what = `the commit store at '${file}' cannot be opened`
    if (isBusy(error)) throw asStreamError(error, 'timeout', `${what}, it is locked or full`, { retryable: true })
    const damaged = /not a database|malformed/.test(messageOf(error))
    throw asStreamError(error, damaged ? 'corrupt' : 'bad-config', what)
  }
}

function refuseNetwork(folder: string): void {
  const name = networkFileSystem(statfsSync(folder).type, process.platform)
  if (name === undefined) return
  throw new StreamError(
    'bad-config',
    `${folder} is on a network file system (${name}), where the locks of SQLite do not hold: use a local disk, which the processes of one host may share, or a store for several hosts`
  )
}
