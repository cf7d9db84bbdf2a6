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

/**
 * What is handed over counts as delivered: after a pause reading goes on behind it.
 *
 * @param isRest there is nothing more of the set but markers of transactions, which nobody is behind
 */
export function eventOf(
  { state, set, highWatermark }: FetchedSet,
  records: readonly RawRecord[],
  isRest: boolean
): RecordsReceived {
  const { topic, partition } = set
  state.delivered = Number(records.at(-1)!.position) + 1
  const behind = Math.max(0, highWatermark - (isRest ? set.next : state.delivered))
  return { kind: 'records', topic, partition, records, behind }
}
