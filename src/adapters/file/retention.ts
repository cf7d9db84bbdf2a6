import type { FileConnection, TopicRow } from './client.ts'
import { decodeBatch, encodeBatch, type PlacedRecord } from './records.ts'

/** Batches that may pile up in a compacted partition before it is compacted. */
const compactAfter = 256

/** Within a transaction: keeps the last record of each key, once enough has come. Offsets stay, and have holes then. */
export function compact(connection: FileConnection, topic: TopicRow, partition: number): void {
  const { sql } = connection
  const { compacted } = sql.part.get(topic.id, partition) as { compacted: number }
  if (compacted + 1 < compactAfter) {
    sql.markCompacted.run(compacted + 1, topic.id, partition)
    return
  }
  const last = new Map<string, PlacedRecord>()
  const unkeyed: PlacedRecord[] = []
  const rows = sql.read.all(topic.id, partition, 0, -1) as { base: number; last: number; data: Uint8Array }[]
  let end = 0
  for (const row of rows) {
    end = row.last
    decodeBatch(row.data, row.base, 0, (record, offset) => {
      const placed = { ...record, offset }
      if (record.key === null) unkeyed.push(placed)
      else last.set(Buffer.from(record.key).toString('latin1'), placed)
    })
  }
  const kept = [...unkeyed, ...last.values()].sort((left, right) => left.offset - right.offset)
  sql.dropBefore.run(topic.id, partition, Number.MAX_SAFE_INTEGER)
  const base = kept[0]?.offset ?? 0
  if (kept.length > 0) {
    const newest = Math.max(...kept.map(record => record.timestamp))
    sql.append.run(topic.id, partition, base, end, newest, encodeBatch(kept, index => kept[index]!.offset - base))
  }
  sql.markCompacted.run(0, topic.id, partition)
}

/** Within a transaction: deletes whole batches that retention no longer wants; the newest one always stays. */
export function expire(connection: FileConnection, topic: TopicRow, partition: number): void {
  const { retentionTime, retentionBytes } = connection.options
  if (retentionTime === undefined && retentionBytes === undefined) return
  const { sql, environment } = connection
  const oldest = retentionTime === undefined ? -Infinity : environment.now() - retentionTime
  const batches = sql.ages.all(topic.id, partition) as { id: number; last: number; newest: number; size: number }[]
  let bytes = batches.reduce((sum, batch) => sum + batch.size, 0)
  let start: number | undefined
  for (const batch of batches.slice(0, -1)) {
    if (batch.newest >= oldest && (retentionBytes === undefined || bytes <= retentionBytes)) break
    sql.dropBatch.run(batch.id)
    bytes -= batch.size
    start = batch.last + 1
  }
  if (start !== undefined) sql.moveStart.run(start, topic.id, partition)
}
