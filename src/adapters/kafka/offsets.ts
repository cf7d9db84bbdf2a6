import { StreamError } from '../../core/errors.ts'
import type { Position } from '../../core/record.ts'
import type { StartAt, TopicPartition } from '../../spec/log-reader.ts'
import type { VendorCommit } from './client.ts'
import type { Connection } from './connection.ts'
import { offsetAfter } from './records.ts'

/** Special times of Kafka's ListOffsets. */
export const earliest = -2
export const latest = -1

/**
 * The first offset whose time is at or after `time` (or `earliest`, `latest`), -1 when there is none. With `readCommitted`
 * the latest is the last stable one.
 */
export function listOffset(
  connection: Connection,
  { topic, partition }: TopicPartition,
  time: number,
  readCommitted: boolean
): Promise<number> {
  return connection.atLeader(topic, partition, async broker => {
    const { responses } = await broker.listOffsets({
      isolationLevel: readCommitted ? 1 : 0,
      topics: [{ topic, partitions: [{ partition, timestamp: time }] }]
    })
    return Number(responses[0]?.partitions[0]?.offset ?? -1)
  })
}

/** The next offset to read from there. Rejects with `position-lost` when the log does not reach so far. */
export async function offsetOf(
  connection: Connection,
  partition: TopicPartition,
  at: StartAt,
  readCommitted: boolean
): Promise<number> {
  if (at === 'earliest') return listOffset(connection, partition, earliest, readCommitted)
  if (at === 'latest') return listOffset(connection, partition, latest, readCommitted)
  if ('time' in at) {
    const found = await listOffset(connection, partition, Math.ceil(at.time), readCommitted)
    return found >= 0 ? found : listOffset(connection, partition, latest, readCommitted)
  }
  const offset = offsetAfter(at.after)
  const [first, end] = await Promise.all([
    listOffset(connection, partition, earliest, false),
    listOffset(connection, partition, latest, false)
  ])
  if (offset < first || offset > end)
    throw new StreamError(
      'position-lost',
      `position ${at.after} of ${partition.topic}/${partition.partition} ${
        offset < first ? 'has left retention' : 'lies behind the end: the topic was made anew or cut'
      }; there is ${first} to ${end - 1}`,
      { adapter: 'kafka' }
    )
  return offset
}

/** The next offset to read of each partition, -1 where the group has committed none. The topic must be loaded. */
export async function committedOffsets(connection: Connection, group: string, topic: string): Promise<number[]> {
  const partitions = Array.from({ length: connection.partitionCount(topic) }, (_, partition) => ({ partition }))
  const coordinator = await connection.coordinator('group', group)
  try {
    const { responses } = await coordinator.offsetFetch({ groupId: group, topics: [{ topic, partitions }] })
    const offsets = partitions.map(() => -1)
    for (const { partition, offset } of responses[0]?.partitions ?? []) offsets[partition] = Number(offset)
    return offsets
  } catch (error) {
    connection.forgetCoordinator('group', group)
    throw error
  }
}

/** Positions as the protocol takes them: the next offset to read. */
export function commitsOf(
  positions: readonly (TopicPartition & { readonly position: Position })[]
): readonly VendorCommit[] {
  return Array.from(
    Map.groupBy(positions, ({ topic }) => topic),
    ([topic, places]) => ({
      topic,
      partitions: places.map(({ partition, position }) => ({
        partition,
        offset: String(offsetAfter(position)),
        metadata: ''
      }))
    })
  )
}
