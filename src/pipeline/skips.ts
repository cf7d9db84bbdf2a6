import type { Position } from '../core/record.ts'
import { StreamError } from '../core/errors.ts'
import type { Skip } from '../exactly-once/index.ts'
import type { AnyAdapter } from '../spec/index.ts'

type Order = Pick<AnyAdapter, 'comparePositions'>

/** Does one of them name the record? */
export function isSkipped(skips: readonly Skip[], position: Position, eventTime: number, order: Order): boolean {
  return skips.some(skip =>
    'since' in skip
      ? eventTime >= skip.since && eventTime < skip.until
      : order.comparePositions(position, skip.first) >= 0 && order.comparePositions(position, skip.last) <= 0
  )
}

/** Those that are not over: what is late for a span of time is processed, as late. */
export function ahead(
  skips: readonly Skip[],
  position: Position | undefined,
  watermark: number,
  order: Order
): readonly Skip[] {
  if (skips.length === 0) return skips
  return skips.filter(skip =>
    'since' in skip ? watermark < skip.until : position === undefined || order.comparePositions(position, skip.last) < 0
  )
}

/** The cause of a record that was left out, as its parked copy has it. */
export function skipped(): StreamError {
  return new StreamError('skipped', 'a replay has left it out')
}
