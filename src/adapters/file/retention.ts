import type { FileConnection, TopicRow } from './client.ts'

/** Most batches that one append deletes: more go with the next ones, no append takes long. */
const most = 32

/**
 * Within a transaction that appended: deletes whole batches that retention no longer wants, oldest first. The newest one
 * always stays. Time is that of the append: records of long ago that are written today are kept from today on.
 */
export function expire(connection: FileConnection, topic: TopicRow, partition: number): void {
  const { sql, environment, settings } = connection
  const maxBytes = topic.retention_bytes ?? settings.retentionBytes
  const oldest = environment.now() - (topic.retention_time ?? settings.retentionTime)
  if (maxBytes === Infinity && oldest === -Infinity) return
  let { bytes } = connection.ends(topic, partition)
  // One row more than may go shows whether the last of them is the newest.
  const rows = sql.oldest.all(topic.id, partition, most + 1) as {
    id: number
    last: number
    written: number
    size: number
  }[]
  let start: number | undefined
  let dropped = 0
  for (const row of rows.slice(0, -1)) {
    if (row.written >= oldest && bytes <= maxBytes) break
    sql.dropBatch.run(row.id)
    bytes -= row.size
    dropped += row.size
    start = row.last + 1
  }
  if (start !== undefined) sql.moveStart.run(start, dropped, topic.id, partition)
}
