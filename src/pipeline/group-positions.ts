import type { BoundTopic } from '../broker/index.ts'
import { StreamError } from '../core/errors.ts'
import type { Position } from '../core/record.ts'
import type { PositionStore } from '../exactly-once/index.ts'
import { foundByAdapter } from './found-positions.ts'

/**
 * What a group has processed, by partition, `undefined` where nothing: from the broker, or from the store where the broker
 * keeps no groups. Errors: `unsupported` for a queue, whose groups begin when they are made known.
 */
export async function groupPositions(
  { adapter, topic, partitions }: BoundTopic,
  group: string,
  store: () => Promise<PositionStore>
): Promise<readonly (Position | undefined)[]> {
  const { groups, positions } = adapter.capabilities
  if (positions === 'none')
    throw new StreamError(
      'unsupported',
      `'${adapter.name}' is a queue: group '${group}' gets what was written to '${topic.name}' since it was made known (client.admin.ensureGroup), so leave out \`startAt\`; client.admin.seekGroup moves it to a time`
    )
  if (!groups) {
    const stored = await (await store()).positions(group, topic.name)
    const found = await foundByAdapter(adapter, group, topic.name)
    return Array.from({ length: partitions }, (_, partition) => stored.get(partition) ?? found[partition])
  }
  const admin = adapter.admin()
  try {
    return await admin.committed(group, topic.name)
  } finally {
    await admin.close()
  }
}
