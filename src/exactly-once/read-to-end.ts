import type { RawRecord } from '../core/record.ts'
import type { AnyAdapter, StartAt, TopicPartition } from '../spec/index.ts'

/**
 * Everything that is committed in a partition by now, in order. It is all of what somebody who has been fenced has written only when it
 * is read behind the fence (protocol R0).
 */
export async function readToEnd(
  adapter: AnyAdapter,
  place: TopicPartition,
  from: StartAt,
  take: (record: RawRecord) => void
): Promise<void> {
  const reader = await adapter.partitionReader!({ ...place, from, readCommitted: true, maxBytes: 8 * 1024 * 1024 })
  try {
    for (let atEnd = false; !atEnd;) {
      const received = await reader.receive({ wait: 100 })
      for (const record of received.records) take(record)
      atEnd = received.atEnd
    }
  } finally {
    await reader.close()
  }
}
