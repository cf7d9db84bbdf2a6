import { StreamError } from '../../core/errors.ts'
import type { Position } from '../../core/record.ts'

/**
 * A position is the sequence number of the event last processed. Never its offset: that is an opaque text, and begins anew
 * when a namespace fails over to its replica.
 */
export function positionOf(sequence: number): Position {
  return String(sequence)
}

/** Throws `corrupt` for a position that is not of this adapter. */
export function sequenceOf(position: Position): number {
  const sequence = Number(position)
  if (/^\d{1,16}$/.test(position) && Number.isSafeInteger(sequence)) return sequence
  throw new StreamError('corrupt', `'${position}' is not a position in an event hub: a sequence number`, {
    adapter: 'eventhubs'
  })
}

export function comparePositions(left: Position, right: Position): number {
  return sequenceOf(left) - sequenceOf(right)
}
