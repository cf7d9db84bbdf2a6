import { hasCode, withRetry, type Trying } from '../broker/index.ts'
import type { Environment } from '../core/environment.ts'
import type { AnyAdapter, PartitionReader } from '../spec/index.ts'
import { vitalsTopic } from '../watermark/index.ts'
import { ensureTopic } from './topics.ts'

/** Creates the vitals topic of a broker unless it is there. Two may do so at once. */
export function ensureVitals(adapter: AnyAdapter, environment: Environment, trying?: Trying): Promise<void> {
  return ensureTopic(adapter, environment, { topic: vitalsTopic, partitions: 1, compacted: true }, trying)
}

/** From the start, for as long as it takes. */
export function openVitals(adapter: AnyAdapter, environment: Environment, trying: Trying): Promise<PartitionReader> {
  return withRetry({ ...trying, adapter, environment, doing: `opening '${vitalsTopic}'` }, () =>
    adapter.partitionReader!({
      topic: vitalsTopic,
      partition: 0,
      from: 'earliest',
      readCommitted: false,
      maxBytes: 1024 * 1024
    })
  )
}

export function isMissing(adapter: AnyAdapter, error: unknown): boolean {
  return hasCode(error, 'unknown-topic') || adapter.classify(error).code === 'unknown-topic'
}

/** Somebody has deleted it: what it held is said again with the next beats, so it is made anew. Never rejects. */
export async function restoreVitals(adapter: AnyAdapter, environment: Environment, error: unknown): Promise<void> {
  if (isMissing(adapter, error)) await ensureVitals(adapter, environment).catch(() => {})
}
