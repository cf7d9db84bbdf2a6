import type { DatabaseSync, StatementSync } from 'node:sqlite'

/** Stored in `PRAGMA user_version`; one version back is read. */
export const schemaVersion = 1

/** Marks the file as ours (`PRAGMA application_id`): 'tide'. */
export const applicationId = 0x74696465

export const tables = `
  CREATE TABLE IF NOT EXISTS topic (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL, compacted INTEGER NOT NULL
  );
  CREATE TABLE IF NOT EXISTS part (
    topic INTEGER NOT NULL, partition INTEGER NOT NULL, start INTEGER NOT NULL, next INTEGER NOT NULL,
    compacted INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (topic, partition)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS batch (
    id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, partition INTEGER NOT NULL, base INTEGER NOT NULL,
    last INTEGER NOT NULL, newest REAL NOT NULL, data BLOB NOT NULL
  );
  CREATE UNIQUE INDEX IF NOT EXISTS batch_place ON batch (topic, partition, base);
  CREATE TABLE IF NOT EXISTS grp (name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS member (
    grp TEXT NOT NULL, id TEXT NOT NULL, session REAL NOT NULL, beat REAL NOT NULL, PRIMARY KEY (grp, id)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS owned (
    grp TEXT NOT NULL, unit INTEGER NOT NULL, member TEXT, wished REAL, PRIMARY KEY (grp, unit)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS committed (
    grp TEXT NOT NULL, topic INTEGER NOT NULL, partition INTEGER NOT NULL, position TEXT NOT NULL,
    PRIMARY KEY (grp, topic, partition)
  ) WITHOUT ROWID;
`

const statements = {
  topic: 'SELECT id, name, partitions, compacted FROM topic WHERE name = ?',
  topics: 'SELECT name FROM topic ORDER BY name',
  addTopic: 'INSERT INTO topic (name, partitions, compacted) VALUES (?, ?, ?)',
  dropTopic: 'DELETE FROM topic WHERE id = ?',
  dropParts: 'DELETE FROM part WHERE topic = ?',
  dropBatches: 'DELETE FROM batch WHERE topic = ?',
  dropCommitted: 'DELETE FROM committed WHERE topic = ?',
  addPart: 'INSERT INTO part (topic, partition, start, next) VALUES (?, ?, 0, 0)',
  part: 'SELECT start, next, compacted FROM part WHERE topic = ? AND partition = ?',
  advance: 'UPDATE part SET next = ? WHERE topic = ? AND partition = ?',
  moveStart: 'UPDATE part SET start = ? WHERE topic = ? AND partition = ?',
  markCompacted: 'UPDATE part SET compacted = ? WHERE topic = ? AND partition = ?',
  append: 'INSERT INTO batch (topic, partition, base, last, newest, data) VALUES (?, ?, ?, ?, ?, ?)',
  // The batch that holds the offset, and those behind it.
  read: `SELECT base, last, data FROM batch WHERE topic = ?1 AND partition = ?2
         AND base >= coalesce((SELECT max(base) FROM batch WHERE topic = ?1 AND partition = ?2 AND base <= ?3), 0)
         AND last >= ?3 ORDER BY base LIMIT ?4`,
  firstSince: 'SELECT base, data FROM batch WHERE topic = ? AND partition = ? AND newest >= ? ORDER BY base LIMIT 1',
  ages: 'SELECT id, last, newest, length(data) AS size FROM batch WHERE topic = ? AND partition = ? ORDER BY base',
  dropBatch: 'DELETE FROM batch WHERE id = ?',
  dropBefore: 'DELETE FROM batch WHERE topic = ? AND partition = ? AND base < ?',
  group: 'SELECT version FROM grp WHERE name = ?',
  touch: 'INSERT INTO grp VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET version = version + 1',
  members: 'SELECT id, session, beat FROM member WHERE grp = ? ORDER BY id',
  beat: 'INSERT INTO member VALUES (?, ?, ?, ?) ON CONFLICT (grp, id) DO UPDATE SET beat = excluded.beat',
  leave: 'DELETE FROM member WHERE grp = ? AND id = ?',
  units: 'SELECT unit, member, wished FROM owned WHERE grp = ? ORDER BY unit',
  addUnit: 'INSERT OR IGNORE INTO owned VALUES (?, ?, NULL, NULL)',
  own: 'UPDATE owned SET member = ?, wished = NULL WHERE grp = ? AND unit = ?',
  wish: 'UPDATE owned SET wished = ? WHERE grp = ? AND unit = ?',
  free: 'UPDATE owned SET member = NULL, wished = NULL WHERE grp = ? AND unit = ? AND member = ?',
  freeAll: 'UPDATE owned SET member = NULL, wished = NULL WHERE grp = ? AND member = ?',
  owner: 'SELECT member FROM owned WHERE grp = ? AND unit = ?',
  commit: `INSERT INTO committed VALUES (?, ?, ?, ?) ON CONFLICT (grp, topic, partition) DO UPDATE SET position = excluded.position`,
  committed: 'SELECT position FROM committed WHERE grp = ? AND topic = ? AND partition = ?'
} as const

export type Statements = { readonly [Name in keyof typeof statements]: StatementSync }

export function prepare(database: DatabaseSync): Statements {
  const prepared: Record<string, StatementSync> = {}
  for (const [name, sql] of Object.entries(statements)) prepared[name] = database.prepare(sql)
  return prepared as Statements
}
