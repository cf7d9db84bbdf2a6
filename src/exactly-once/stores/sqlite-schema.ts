import type { DatabaseSync, StatementSync } from 'node:sqlite'

/** Version of the tables; one version back is read. A table of its own, because the database may be the user's. */
export const version: number = 1

export const tables: string = `
  CREATE TABLE IF NOT EXISTS tidemark_version (version INTEGER NOT NULL);
  INSERT INTO tidemark_version SELECT ${version} WHERE NOT EXISTS (SELECT 1 FROM tidemark_version);
  CREATE TABLE IF NOT EXISTS tidemark_head (
    task TEXT PRIMARY KEY, epoch INTEGER NOT NULL, number INTEGER NOT NULL, token TEXT NOT NULL, head BLOB
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS tidemark_outbox (
    task TEXT NOT NULL, number INTEGER NOT NULL, outputs BLOB NOT NULL, PRIMARY KEY (task, number)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS tidemark_state (
    task TEXT NOT NULL, slot TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (task, slot, key)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS tidemark_lease (
    scope TEXT NOT NULL, name TEXT NOT NULL, owner TEXT, beat INTEGER NOT NULL, wish TEXT, PRIMARY KEY (scope, name)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS tidemark_position (
    grp TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, position TEXT NOT NULL,
    PRIMARY KEY (grp, topic, partition)
  ) WITHOUT ROWID;
`

export type Statements = Record<
  | 'raise'
  | 'head'
  | 'advance'
  | 'unsent'
  | 'putOutbox'
  | 'forget'
  | 'page'
  | 'find'
  | 'putState'
  | 'deleteState'
  | 'leases'
  | 'addLease'
  | 'take'
  | 'beat'
  | 'ask'
  | 'release'
  | 'remove'
  | 'holder'
  | 'positions'
  | 'putPosition',
  StatementSync
>

export function prepare(database: DatabaseSync): Statements {
  const statement = (sql: string): StatementSync => database.prepare(sql)
  const arrays = (sql: string): StatementSync => {
    const prepared = statement(sql)
    // Not before Node 22.16: there they are objects.
    prepared.setReturnArrays?.(true)
    return prepared
  }
  return {
    raise: statement(
      `INSERT INTO tidemark_head VALUES (?, 1, 0, '', NULL) ON CONFLICT (task) DO UPDATE SET epoch = epoch + 1`
    ),
    head: statement('SELECT epoch, number, token, head FROM tidemark_head WHERE task = ?'),
    advance: statement(
      'UPDATE tidemark_head SET number = ?, token = ?, head = ? WHERE task = ? AND epoch = ? AND number = ?'
    ),
    unsent: statement('SELECT number, outputs FROM tidemark_outbox WHERE task = ? ORDER BY number'),
    putOutbox: statement('INSERT INTO tidemark_outbox VALUES (?, ?, ?)'),
    forget: statement('DELETE FROM tidemark_outbox WHERE task = ? AND number <= ?'),
    page: arrays(
      `SELECT slot, key, value FROM tidemark_state WHERE task = ? AND (slot, key) >= (?, ?) ORDER BY slot, key LIMIT ?`
    ),
    find: arrays('SELECT value FROM tidemark_state WHERE task = ? AND slot = ? AND key = ?'),
    putState: statement(
      'INSERT INTO tidemark_state VALUES (?, ?, ?, ?) ON CONFLICT (task, slot, key) DO UPDATE SET value = excluded.value'
    ),
    deleteState: statement('DELETE FROM tidemark_state WHERE task = ? AND slot = ? AND key = ?'),
    leases: statement('SELECT name, owner, beat, wish FROM tidemark_lease WHERE scope = ?'),
    addLease: statement('INSERT OR IGNORE INTO tidemark_lease VALUES (?, ?, ?, 1, NULL)'),
    take: statement(
      'UPDATE tidemark_lease SET owner = ?, beat = beat + 1, wish = NULL WHERE scope = ? AND name = ? AND owner IS ? AND beat = ?'
    ),
    beat: statement('UPDATE tidemark_lease SET beat = beat + 1 WHERE scope = ? AND owner = ?'),
    ask: statement('UPDATE tidemark_lease SET wish = ? WHERE scope = ? AND name = ? AND owner IS NOT NULL'),
    positions: statement('SELECT partition, position FROM tidemark_position WHERE grp = ? AND topic = ?'),
    putPosition: statement(
      `INSERT INTO tidemark_position VALUES (?, ?, ?, ?)
       ON CONFLICT (grp, topic, partition) DO UPDATE SET position = excluded.position`
    ),
    release: statement(
      'UPDATE tidemark_lease SET owner = NULL, beat = beat + 1, wish = NULL WHERE scope = ? AND name = ? AND owner = ?'
    ),
    remove: statement('DELETE FROM tidemark_lease WHERE scope = ? AND name = ? AND owner IS ? AND beat = ?'),
    holder: statement('SELECT owner FROM tidemark_lease WHERE scope = ? AND name = ?')
  }
}
