import { mkdirSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { sleep, type Environment } from '../../core/environment.ts'
import { networkFileSystem } from '../../core/network-file-system.ts'
import { explained, fileError, isBusy } from './errors.ts'
import { applicationId, schemaVersion, tables } from './schema.ts'

/** How long SQLite may block the process for another one's lock, ms; beyond it we wait without blocking. */
const busyTimeout = 50

/** The WAL is cut back to this after a large transaction. */
const walLimit = 64 * 1024 * 1024

/**
 * Opens `log.db` in the folder, and creates both. Errors: `bad-config` (no folder, a network file system), `corrupt`
 * (damaged, foreign, or of a newer release), `unauthorized`, `timeout` (locked).
 */
export async function openDatabase(path: string, environment: Environment, lockTimeout: number): Promise<DatabaseSync> {
  const { DatabaseSync: Database } = await import('node:sqlite')
  const deadline = environment.monotonic() + lockTimeout
  let database: DatabaseSync | undefined
  try {
    mkdirSync(path, { recursive: true })
    refuseNetwork(path)
    database = new Database(join(path, 'log.db'))
    database.exec(`PRAGMA busy_timeout = ${busyTimeout}`)
    for (;;) {
      try {
        setUp(database, path)
        return database
      } catch (error) {
        // Several processes that create it at once get into each other's way, whatever the busy timeout is.
        if (!isBusy(error) || environment.monotonic() > deadline) throw error
        rollBack(database)
      }
      await sleep(environment, 1 + environment.random() * 20)
    }
  } catch (error) {
    database?.close()
    throw explained(error, 'cannot open the log in', path)
  }
}

export function rollBack(database: DatabaseSync): void {
  try {
    database.exec('ROLLBACK')
  } catch {
    // After some errors SQLite has rolled back itself.
  }
}

/** Everything is as it was when another process has done it before. */
function setUp(database: DatabaseSync, path: string): void {
  const pragma = (name: string): unknown => Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0]
  const empty = database.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() === undefined
  if (!empty) {
    if (pragma('application_id') !== applicationId)
      throw fileError('corrupt', `${join(path, 'log.db')} is the database of another program: name another folder`)
    const version = pragma('user_version') as number
    if (version > schemaVersion)
      throw fileError(
        'corrupt',
        `the log in ${path} was written by a newer release (format ${version}, this one reads ${schemaVersion}): update`
      )
  }
  // On macOS a plain fsync leaves the data in the cache of the drive.
  database.exec('PRAGMA fullfsync = 1; PRAGMA checkpoint_fullfsync = 1')
  if (pragma('journal_mode = WAL') !== 'wal')
    throw fileError('bad-config', `the file system of ${path} has no shared memory for SQLite's WAL: use a local disk`)
  database.exec(`PRAGMA journal_size_limit = ${walLimit}`)
  if (!empty) return
  database.exec('BEGIN IMMEDIATE')
  database.exec(`${tables} PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${schemaVersion}`)
  database.exec('COMMIT')
}

/** Where the number is known: on Linux. Elsewhere the documentation has to do. */
export function refuseNetwork(
  path: string,
  type: number = statfsSync(path).type,
  platform: string = process.platform
): void {
  const name = networkFileSystem(type, platform)
  if (name === undefined) return
  throw fileError(
    'bad-config',
    `${path} is on a network file system (${name}), where the locks of the log do not hold: use a local disk, or a broker`
  )
}
