import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'

const RETRY = 100
const SQLITE_BUSY = 5

/**
 * Runs `work` while no other process of this machine runs it under the same lock file. The lock is SQLite's lock on the
 * file, so the operating system releases it when its holder dies.
 */
export async function withLock<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    while (!acquire(database)) await delay(RETRY)
    return await work()
  } finally {
    database.close()
  }
}

function acquire(database: DatabaseSync): boolean {
  try {
    database.exec('BEGIN EXCLUSIVE')
    return true
  } catch (error) {
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return false
    throw error
  }
}
