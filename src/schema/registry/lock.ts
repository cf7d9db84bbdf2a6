import { StreamError } from '../../core/errors.ts'
import { sleep, type Environment } from '../../core/environment.ts'

/** How long the lock of a folder is waited for, and how often it is tried, milliseconds. */
const patience = 30_000
const interval = 10

/**
 * Runs `task` while no other process does under the same lock file. The lock is the one SQLite takes from the operating
 * system, on an empty database: it falls when its process dies, however it dies, which no lock of files alone does.
 */
export async function withLock<Result>(
  path: string,
  environment: Environment,
  task: () => Promise<Result>
): Promise<Result> {
  const { DatabaseSync } = await import('node:sqlite')
  const lock = new DatabaseSync(path, { timeout: 0 })
  try {
    const deadline = environment.monotonic() + patience
    while (!tryLock(lock)) {
      if (environment.monotonic() > deadline)
        throw new StreamError('timeout', `another process has held the lock ${path} for ${patience / 1000} seconds`, {
          retryable: true
        })
      // Uneven, so that waiting processes do not try in step.
      await sleep(environment, interval * (0.5 + environment.random()))
    }
    return await task()
  } finally {
    lock.close()
  }
}

function tryLock(lock: { exec(statement: string): void }): boolean {
  try {
    lock.exec('BEGIN EXCLUSIVE')
    return true
  } catch (error) {
    // SQLITE_BUSY
    if ((error as { errcode?: number }).errcode === 5) return false
    throw error
  }
}
