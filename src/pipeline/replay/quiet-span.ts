import type { Position } from '../../core/record.ts'
import type { Head, QuietSpan } from '../../exactly-once/index.ts'
import { timerSlot, type StateRow } from '../../state/index.ts'
import { fromSnapshot, toSnapshot } from '../../watermark/index.ts'
import { placeOf, retrySlot } from '../retry-queue.ts'
import type { InputChange } from './replay-task.ts'

/**
 * What had been written before the replay, of the inputs that are read again: up to where they stood, but for records that were not
 * done; and what was due up to the watermark. After one that has not come to its end, what that one was to pass.
 *
 * @param rows of the task: timers and waiting records
 */
export function quietSpanOf(
  { positions, watermark, quiet }: Head,
  changes: readonly InputChange[],
  rows: readonly StateRow[]
): QuietSpan {
  const until: Record<string, Position> = {}
  const but: Record<string, readonly Position[]> = {}
  const waiting = rows.filter(({ slot }) => slot === retrySlot).map(placeOf)
  for (const { bound, start } of changes) {
    const { name } = bound.topic
    const { adapter } = bound
    const stood = positions[name]
    const before = quiet?.until[name]
    const isAhead = (position: Position): boolean =>
      stood === undefined || adapter.comparePositions(position, stood) > 0
    const last = before !== undefined && isAhead(before) ? before : stood
    if (!start || last === undefined) continue
    until[name] = last
    const open = (quiet?.but[name] ?? []).filter(isAhead)
    // One that the earlier span covers has been written, though it waits.
    const isWritten = (position: Position): boolean =>
      before !== undefined && adapter.comparePositions(position, before) <= 0 && !quiet!.but[name]?.includes(position)
    const own = waiting.filter(({ topic, position }) => topic === name && !isWritten(position))
    but[name] = [...open, ...own.map(({ position }) => position)]
  }
  const due = rows.flatMap(({ slot, key }) => (slot === timerSlot ? [Number(key.slice(0, key.indexOf('|')))] : []))
  const reached = Math.min(fromSnapshot(watermark), ...due.map(time => time - 1))
  return { until, but, watermark: toSnapshot(quiet ? Math.max(reached, fromSnapshot(quiet.watermark)) : reached) }
}
