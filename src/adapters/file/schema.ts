import type { DatabaseSync, StatementSync } from 'node:sqlite'

/** Stored in `PRAGMA user_version`; one version back is read. */
export const schemaVersion = 1

/** Marks the file as ours (`PRAGMA application_id`): 'tide'. */
export const applicationId = 0x74696465

/**
 * - `topic`: ids are never used again, so that nobody mistakes a topic for a later one of its name.
 * - `partition_state`: `start` is the first offset that is kept, `next` the one to give; below `clean` it is compacted,
 *   `dirty` bytes are behind that, `bytes` in all.
 * - `batch`: records of one partition; `newest` is the latest record time, `written` when it was appended (wall clock, ms).
 * - `member`, `holding`: who is in a group, and who holds which unit. `topics` is the sorted list of topic ids, as JSON.
 * - `consumer_group`: `version` counts changes of members and holdings.
 */
export const tables = `
  CREATE TABLE IF NOT EXISTS topic (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL,
    compacted INTEGER NOT NULL, retention_time REAL, retention_bytes REAL
  );
  CREATE TABLE IF NOT EXISTS partition_state (
    topic INTEGER NOT NULL, partition INTEGER NOT NULL, start INTEGER NOT NULL, next INTEGER NOT NULL,
    bytes INTEGER NOT NULL, clean INTEGER NOT NULL, dirty INTEGER NOT NULL, PRIMARY KEY (topic, partition)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS batch (
    id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, partition INTEGER NOT NULL, base INTEGER NOT NULL,
    last INTEGER NOT NULL, newest REAL NOT NULL, written REAL NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL
  );
  CREATE UNIQUE INDEX IF NOT EXISTS batch_place ON batch (topic, partition, base);
  CREATE TABLE IF NOT EXISTS consumer_group (name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS member (
    consumer_group TEXT NOT NULL, id TEXT NOT NULL, topics TEXT NOT NULL, session REAL NOT NULL, beat REAL NOT NULL,
    PRIMARY KEY (consumer_group, id)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS holding (
    consumer_group TEXT NOT NULL, topics TEXT NOT NULL, unit INTEGER NOT NULL, member TEXT,
    PRIMARY KEY (consumer_group, topics, unit)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS committed (
    consumer_group TEXT NOT NULL, topic INTEGER NOT NULL, partition INTEGER NOT NULL, position TEXT NOT NULL,
    PRIMARY KEY (consumer_group, topic, partition)
  ) WITHOUT ROWID;
`

// No numbered parameters (`?1`): Node 22.13 does not bind them by their place.
const statements = {
  begin: 'BEGIN',
  beginWriting: 'BEGIN IMMEDIATE',
  commit: 'COMMIT',
  rollback: 'ROLLBACK',
  dataVersion: 'PRAGMA data_version',

  topic: 'SELECT * FROM topic WHERE name = ?',
  topics: 'SELECT id, name FROM topic ORDER BY name',
  addTopic: 'INSERT INTO topic (name, partitions, compacted, retention_time, retention_bytes) VALUES (?, ?, ?, ?, ?)',
  dropTopic: 'DELETE FROM topic WHERE id = ?',
  // Batches are deleted bit by bit after their topic; until then its partitions are still listed.
  orphans: 'SELECT DISTINCT topic FROM partition_state WHERE topic NOT IN (SELECT id FROM topic)',
  dropBatches: 'DELETE FROM batch WHERE id IN (SELECT id FROM batch WHERE topic = ? LIMIT ?)',
  dropPartitions: 'DELETE FROM partition_state WHERE topic = ?',
  dropCommitted: 'DELETE FROM committed WHERE topic = ?',

  addPartition: 'INSERT INTO partition_state VALUES (?, ?, 0, 0, 0, 0, 0)',
  ends: 'SELECT start, next, bytes, clean, dirty FROM partition_state WHERE topic = ? AND partition = ?',
  allEnds: 'SELECT partition, start, next FROM partition_state WHERE topic = ?',
  advance: `UPDATE partition_state SET next = ?, bytes = bytes + ?, dirty = dirty + ?
    WHERE topic = ? AND partition = ?`,
  moveStart: 'UPDATE partition_state SET start = ?, bytes = bytes - ? WHERE topic = ? AND partition = ?',
  resize: 'UPDATE partition_state SET bytes = bytes + ? WHERE topic = ? AND partition = ?',
  markClean: 'UPDATE partition_state SET clean = ?, dirty = ? WHERE topic = ? AND partition = ?',
  bytesFrom: 'SELECT coalesce(sum(size), 0) AS bytes FROM batch WHERE topic = ? AND partition = ? AND base >= ?',

  append:
    'INSERT INTO batch (topic, partition, base, last, newest, written, size, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
  // The batch that holds the offset, and those behind it.
  read: `SELECT id, base, last, newest, written, size, data FROM batch WHERE topic = ? AND partition = ?
    AND base >= coalesce((SELECT max(base) FROM batch WHERE topic = ? AND partition = ? AND base <= ?), 0) AND last >= ?
    ORDER BY base`,
  firstSince: 'SELECT base, data FROM batch WHERE topic = ? AND partition = ? AND newest >= ? ORDER BY base LIMIT 1',
  oldest: 'SELECT id, last, written, size FROM batch WHERE topic = ? AND partition = ? ORDER BY base LIMIT ?',
  dropBatch: 'DELETE FROM batch WHERE id = ?',

  group: 'SELECT version FROM consumer_group WHERE name = ?',
  touch: 'INSERT INTO consumer_group VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET version = version + 1',
  allMembers: 'SELECT consumer_group, id, topics FROM member',
  members: 'SELECT id, topics, session, beat FROM member WHERE consumer_group = ? ORDER BY id',
  join: 'INSERT INTO member (consumer_group, id, topics, session, beat) VALUES (?, ?, ?, ?, ?)',
  beat: 'UPDATE member SET beat = ? WHERE consumer_group = ? AND id = ?',
  leave: 'DELETE FROM member WHERE consumer_group = ? AND id = ?',
  holdings: 'SELECT unit, member FROM holding WHERE consumer_group = ? AND topics = ? ORDER BY unit',
  addHolding: 'INSERT OR IGNORE INTO holding VALUES (?, ?, ?, NULL)',
  dropHoldings: 'DELETE FROM holding WHERE consumer_group = ? AND topics = ?',
  take: 'UPDATE holding SET member = ? WHERE consumer_group = ? AND topics = ? AND unit = ?',
  free: 'UPDATE holding SET member = NULL WHERE consumer_group = ? AND topics = ? AND unit = ? AND member = ?',
  freeAll: 'UPDATE holding SET member = NULL WHERE consumer_group = ? AND member = ?',
  holder: 'SELECT member FROM holding WHERE consumer_group = ? AND topics = ? AND unit = ?',

  store: `INSERT INTO committed VALUES (?, ?, ?, ?)
    ON CONFLICT (consumer_group, topic, partition) DO UPDATE SET position = excluded.position`,
  committed: 'SELECT position FROM committed WHERE consumer_group = ? AND topic = ? AND partition = ?'
} as const

export type Statements = { readonly [Name in keyof typeof statements]: StatementSync }

/** Once per connection: parsing SQL costs more than running it. */
export function prepare(database: DatabaseSync): Statements {
  const prepared: Record<string, StatementSync> = {}
  for (const [name, sql] of Object.entries(statements)) prepared[name] = database.prepare(sql)
  return prepared as Statements
}

export interface BatchRow {
  readonly id: number
  readonly base: number
  readonly last: number
  readonly newest: number
  readonly written: number
  readonly size: number
  readonly data: Uint8Array
}

/** Batches of a partition from the one on that holds the offset; what is not taken is not read. */
export function readFrom(sql: Statements, topic: number, partition: number, offset: number): Iterable<BatchRow> {
  return sql.read.iterate(topic, partition, topic, partition, offset, offset) as Iterable<unknown> as Iterable<BatchRow>
}
