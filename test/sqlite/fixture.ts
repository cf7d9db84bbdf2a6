import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { onTestFinished } from 'vitest'

/** A database file in a folder of its own, removed after the test. */
export async function databaseFile(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'tidemark-sqlite-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return join(directory, 'destination.db')
}

/** What a reader that knows nothing of us finds in the file. */
export function rowsOf(file: string, sql: string): Record<string, unknown>[] {
  const database = new DatabaseSync(file, { readOnly: true })
  try {
    return database
      .prepare(sql)
      .all()
      .map(row => ({ ...row }))
  } finally {
    database.close()
  }
}
