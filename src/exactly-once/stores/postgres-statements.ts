import { view } from '../../core/codec.ts'
import { encodeOutbox } from '../outbox.ts'
import type { Commit } from '../store.ts'
import { byteaArray, latin1Array, textArray } from './postgres-arrays.ts'
import type { Tables } from './postgres-schema.ts'

/** Rows of a sink that shares the database: parts of the statement of the commit, all or nothing with it. */
export interface StagedRows {
  readonly parts: readonly StagedPart[]
  /** What is thrown when the server objects to them. */
  refused(error: unknown): Error
}

export interface StagedPart {
  /**
   * An `INSERT ... SELECT ... FROM <once>, ...`.
   * @param parameter stands for `value`
   * @param once a table of one row, of none when the task is somebody else's
   */
  text(parameter: string, once: string): string
  readonly value: unknown
}

export interface Statement {
  readonly text: string
  readonly values: readonly unknown[]
}

/**
 * A role, a database or a pooler may have turned `synchronous_commit` off: then what is acknowledged could be lost. Selected
 * by a statement, it is turned on for the transaction of that statement.
 */
const durable = `CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END AS durable`

/**
 * One statement, which is one round trip and one transaction: a connection that is lost leaves all of it or nothing, and no
 * open transaction. All parts hang on the first one, the conditional write. A task that is being written by somebody else
 * is waited for, and the condition judged again. One row when it took effect, else none.
 */
export function appendStatement(
  tables: Tables,
  task: string,
  epoch: number,
  commit: Commit,
  staged: StagedRows | undefined
): Statement {
  const values: unknown[] = [task, commit.number, commit.token, view(commit.head), epoch]
  const parameter = (value: unknown, type: string): string => `$${values.push(value)}::${type}`
  const steps = [
    `moved AS (UPDATE ${tables.head} SET number = $2::bigint, token = $3::text, head = $4::bytea
      WHERE task = $1::text AND epoch = $5::bigint AND number = $2::bigint - 1 RETURNING task)`
  ]
  const kept = commit.state.filter(row => row.value !== null)
  if (kept.length > 0) {
    const slots = parameter(textArray(kept.map(row => row.slot)), 'text[]')
    const keys = parameter(latin1Array(kept.map(row => row.key)), 'bytea[]')
    const contents = parameter(byteaArray(kept.map(row => row.value!)), 'bytea[]')
    steps.push(`kept AS (INSERT INTO ${tables.state} (task, slot, key, value)
      SELECT moved.task, changed.slot, changed.key, changed.value
      FROM moved, unnest(${slots}, ${keys}, ${contents}) AS changed (slot, key, value)
      ON CONFLICT (task, slot, key) DO UPDATE SET value = excluded.value)`)
  }
  if (kept.length < commit.state.length) {
    const gone = commit.state.filter(row => row.value === null)
    const slots = parameter(textArray(gone.map(row => row.slot)), 'text[]')
    const keys = parameter(latin1Array(gone.map(row => row.key)), 'bytea[]')
    steps.push(`dropped AS (DELETE FROM ${tables.state} AS rows USING moved, unnest(${slots}, ${keys}) AS gone (slot, key)
      WHERE rows.task = moved.task AND rows.slot = gone.slot AND rows.key = gone.key)`)
  }
  if (commit.outputs.length > 0) {
    const outputs = parameter(encodeOutbox(commit.outputs), 'bytea')
    steps.push(
      `sent AS (INSERT INTO ${tables.outbox} (task, number, outputs) SELECT task, $2::bigint, ${outputs} FROM moved)`
    )
  }
  if (commit.relayedTo > 0) {
    const relayed = parameter(commit.relayedTo, 'bigint')
    steps.push(`forgotten AS (DELETE FROM ${tables.outbox} AS rows USING moved
      WHERE rows.task = moved.task AND rows.number <= ${relayed})`)
  }
  for (const [index, part] of (staged?.parts ?? []).entries())
    steps.push(`rows${index} AS (${part.text(`$${values.push(part.value)}`, 'moved')})`)
  return { text: `WITH ${steps.join(',\n')} SELECT ${durable} FROM moved`, values }
}

/** Raises the epoch. What it gives of the head is of after that, however long somebody else's commit was waited for. */
export const raiseText = ({ head }: Tables): string => `WITH raised AS (
    INSERT INTO ${head} AS known (task, epoch, number, token) VALUES ($1::text, 1, 0, '')
    ON CONFLICT (task) DO UPDATE SET epoch = known.epoch + 1 RETURNING epoch, number, token, head
  ) SELECT epoch, number, token, head, ${durable} FROM raised`

/** Waits for an append that is still under way on a connection that was lost. */
export const readBackText = ({ head }: Tables): string =>
  `SELECT epoch, number, token, head FROM ${head} WHERE task = $1::text FOR UPDATE`

export const unsentText = ({ outbox }: Tables): string =>
  `SELECT number, outputs FROM ${outbox} WHERE task = $1::text ORDER BY number`

/** One page of state, from a place on, with the epoch as of the same moment. */
export const pageText = ({ head, state }: Tables): string =>
  `SELECT known.epoch, rows.slot, rows.key, rows.value FROM ${head} AS known LEFT JOIN LATERAL (
     SELECT slot, key, value FROM ${state} WHERE task = $1::text AND (slot, key) >= ($2::text, $3::bytea)
     ORDER BY slot, key LIMIT $4::int
   ) AS rows ON true WHERE known.task = $1::text ORDER BY rows.slot, rows.key`

/** The rows of some places, with the epoch as of the same moment. */
export const findText = ({ head, state }: Tables): string =>
  `SELECT known.epoch, rows.slot, rows.key, rows.value FROM ${head} AS known LEFT JOIN (
     SELECT found.slot, found.key, found.value FROM unnest($2::text[], $3::bytea[]) AS wanted (slot, key)
     JOIN ${state} AS found ON found.task = $1::text AND found.slot = wanted.slot AND found.key = wanted.key
   ) AS rows ON true WHERE known.task = $1::text`

/** The statements of leases and positions. Rows are locked in the order of their names, so that no two members wait for each other. */
export function leaseTexts({
  lease,
  position
}: Tables): Readonly<
  Record<
    'leases' | 'add' | 'take' | 'beat' | 'ask' | 'release' | 'remove' | 'positions' | 'store' | 'storeHolding',
    string
  >
> {
  const place = `${position} (grp, topic, partition, position)
    SELECT $1::text, done.topic, done.partition, done.position
    FROM unnest($2::text[], $3::int[], $4::text[]) AS done (topic, partition, position)`
  const replace = 'ON CONFLICT (grp, topic, partition) DO UPDATE SET position = excluded.position'
  const one = 'scope = $1::text AND name = $2::text'
  return {
    leases: `SELECT name, owner, beat, wish FROM ${lease} WHERE scope = $1::text`,
    add: `INSERT INTO ${lease} (scope, name, owner, beat) VALUES ($1::text, $2::text, $3::text, 1)
      ON CONFLICT (scope, name) DO NOTHING RETURNING name`,
    take: `UPDATE ${lease} SET owner = $3::text, beat = beat + 1, wish = NULL
      WHERE ${one} AND owner IS NOT DISTINCT FROM $4::text AND beat = $5::bigint RETURNING name`,
    beat: `WITH mine AS (SELECT name FROM ${lease} WHERE scope = $1::text AND owner = $2::text ORDER BY name FOR UPDATE)
      UPDATE ${lease} AS rows SET beat = rows.beat + 1 FROM mine
      WHERE rows.scope = $1::text AND rows.name = mine.name AND rows.owner = $2::text`,
    ask: `UPDATE ${lease} SET wish = $3::text WHERE ${one} AND owner IS NOT NULL`,
    release: `UPDATE ${lease} SET owner = NULL, beat = beat + 1, wish = NULL WHERE ${one} AND owner = $3::text`,
    remove: `DELETE FROM ${lease} WHERE ${one} AND owner IS NOT DISTINCT FROM $3::text AND beat = $4::bigint`,
    positions: `SELECT partition, position FROM ${position} WHERE grp = $1::text AND topic = $2::text`,
    store: `INSERT INTO ${place} ${replace}`,
    // Shared locks: nobody takes one of the leases before this has ended, and who took one before is seen.
    storeHolding: `WITH held AS (
        SELECT name FROM ${lease} WHERE scope = $5::text AND owner = $6::text AND name = ANY ($7::text[])
        ORDER BY name FOR SHARE
      ), holding AS (SELECT count(*) = $8::int AS complete FROM held), stored AS (
        INSERT INTO ${place}, holding WHERE holding.complete ${replace}
      ) SELECT holding.complete AS holding FROM holding`
  }
}
