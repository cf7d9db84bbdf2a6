import { StreamError } from '../../core/errors.ts'
import type { BoundTopic } from '../../broker/index.ts'
import type { RawRecord } from '../../core/record.ts'
import type { StartAt } from '../../spec/index.ts'

const maxBytes = 4 * 1024 * 1024

/** The records of one partition as they are, up to what was there when it came to the end. */
export async function* readPartition(
  { adapter, topic }: BoundTopic,
  partition: number,
  from: StartAt,
  signal: AbortSignal | undefined
): AsyncGenerator<readonly RawRecord[], void, undefined> {
  assertLog({ adapter, topic })
  const options = { topic: topic.name, partition, from, readCommitted: true, maxBytes }
  const reader = await adapter.partitionReader!(options)
  try {
    for (let isEnd = false; !isEnd;) {
      const { records, atEnd } = await reader.receive({ wait: 1_000, ...(signal && { signal }) })
      isEnd = atEnd
      if (records.length > 0) yield records
    }
  } finally {
    await reader.close()
  }
}

/** Throws `unsupported` for a queue, which has no past. */
export function assertLog({ adapter, topic }: Pick<BoundTopic, 'adapter' | 'topic'>): void {
  if (adapter.capabilities.positions === 'log' && adapter.partitionReader) return
  throw new StreamError(
    'unsupported',
    `topic '${topic.name}' is on a queue ('${adapter.name}'), which has no positions to go back to: where it keeps what was acknowledged, client.admin.seekGroup moves a group to a time`
  )
}
