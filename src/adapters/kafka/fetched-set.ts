import type { RawRecord } from '../../core/record.ts'
import type { RecordsReceived } from '../../spec/log-reader.ts'
import type { ReadState } from './fetcher.ts'
import type { RecordSet } from './records.ts'

/** Records of one fetch and partition: as they came, or the rest of them that was too much for one `receive`. */
export interface FetchedSet {
  readonly kind: 'set'
  readonly state: ReadState
  readonly set: RecordSet
  readonly decoded?: readonly RawRecord[]
  readonly highWatermark: number
}

/** What is handed over counts as delivered: after a pause reading goes on behind it. */
export function eventOf({ state, set, highWatermark }: FetchedSet, records: readonly RawRecord[]): RecordsReceived {
  const { topic, partition } = set
  const last = Number(records.at(-1)!.position)
  state.delivered = last + 1
  return { kind: 'records', topic, partition, records, behind: Math.max(0, highWatermark - last - 1) }
}
