import type { StreamRecord } from '../core/record.ts'
import type { AggregateContext, Firing } from './firing.ts'
import { expire, type TaggedEntry } from './results.ts'
import { noReports, type StoredWindow } from './stored-windows.ts'
import { floorTo, type FixedWindowing } from './windowing.ts'
import type { AnyTopic } from '../core/topic.ts'

export interface Accumulation {
  init(): unknown
  add(accumulator: unknown, record: StreamRecord): unknown
}

/** Tumbling and hopping windows: a record goes into all that it is in and that are not expired. */
export class FixedWindows {
  readonly #windowing: FixedWindowing
  readonly #accumulation: Accumulation
  readonly #firing: Firing
  readonly #late: AnyTopic | undefined

  constructor(windowing: FixedWindowing, accumulation: Accumulation, firing: Firing, late: AnyTopic | undefined) {
    this.#windowing = windowing
    this.#accumulation = accumulation
    this.#firing = firing
    this.#late = late
  }

  process(record: StreamRecord, context: AggregateContext): TaggedEntry[] | TaggedEntry | undefined {
    const { size, every, offset } = this.#windowing
    const { state, timers, watermark } = context
    const firing = this.#firing
    const { eventTime } = record
    const last = floorTo(eventTime, every, offset)
    if (firing.isExpired(last + size, watermark)) return expire(record, this.#late, context)
    let start = last
    while (start - every + size > eventTime && !firing.isExpired(start - every + size, watermark)) start -= every

    const windows = state.windows.get().slice()
    const entries: TaggedEntry[] = []
    let at = 0
    for (; start <= last; start += every) {
      const end = start + size
      // One of the same start and another end is of an earlier definition: it ends as it began.
      while (at < windows.length && (windows[at]!.start - start || windows[at]!.end - end) < 0) at++
      let found = windows[at]
      if (found?.start !== start || found.end !== end) {
        const accumulator = this.#accumulation.init()
        found = { start, end, accumulator, closed: end <= watermark, fresh: 0, reported: noReports }
        windows.splice(at, 0, found)
        timers.at(firing.deadline(found))
      }
      windows[at] = firing.added(this.#grown(found, record), record.key, context, entries)
    }
    state.windows.set(windows)
    return entries
  }

  #grown(window: StoredWindow, record: StreamRecord): StoredWindow {
    const { start, end, accumulator, closed, fresh, reported } = window
    const grown = this.#accumulation.add(accumulator, record)
    return { start, end, accumulator: grown, closed, fresh: fresh + 1, reported }
  }
}
