import { diagnose } from '../core/diagnostics.ts'
import { StreamError } from '../core/errors.ts'
import type { ProducerId } from '../core/stamp.ts'

/** Records that a producer of ours has numbered, and that are not there: lost by the broker, or by a transaction that was torn. */
export interface Gap {
  readonly producer: ProducerId
  readonly from: number
  readonly to: number
}

export interface GapPlace {
  readonly task: string
  readonly topic: string
  readonly partition: number
}

/** Counts a gap that is passed over, and tells it. */
export function tellLost(place: GapPlace, { producer, from, to }: Gap, counts: { lost: number }): void {
  counts.lost += to - from + 1
  diagnose('records-lost', { ...place, producer: nameOf(producer), from, to })
}

/** For topics that stall at a gap. */
export function stalledAt({ task, topic, partition }: GapPlace, { producer, from, to }: Gap): StreamError {
  const which = from === to ? `record ${from}` : `records ${from} to ${to}`
  return new StreamError(
    'records-lost',
    `task '${task}': ${which} of producer ${nameOf(producer)} are missing from '${topic}', partition ${partition}: the broker has lost them, or a transaction was torn. The topic says gaps: 'stall'; to count them as lost and go on, run once with gaps: { skipAfter: 0 }`
  )
}

const nameOf = (producer: ProducerId): string => Buffer.from(producer, 'latin1').toString('hex')
