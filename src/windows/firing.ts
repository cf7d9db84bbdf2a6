import type { FiredTimer, ProcessContext } from '../pipeline/index.ts'
import type { KeyedState } from '../state/index.ts'
import type { Pane } from './aggregate.ts'
import type { ResultWriter, TaggedEntry } from './results.ts'
import { noReports, type StoredWindow, type StoredWindows } from './stored-windows.ts'
import { floorTo } from './windowing.ts'

export interface FiringOptions {
  readonly results: ResultWriter
  result(pane: Pane<unknown, unknown>): unknown
  readonly sessions: boolean
  readonly allowedLateness: number
  /** Early results at multiples of this, from `offset`; 0: none. */
  readonly every: number
  readonly offset: number
  /** Early results after so many records; 0: none. */
  readonly count: number
}

/** The state of an aggregation: one value per key, so that a timer finds all windows of its key. */
export interface AggregateState {
  readonly windows: KeyedState<StoredWindows, StoredWindows>
}
export type AggregateContext = Omit<ProcessContext, 'state'> & { readonly state: AggregateState }

/** The name of the timers of early results. All others have none. */
const earlyTimer = 'early'

/**
 * When a window gives a result, and when it goes. It has one timer, at its end or at the end of the lateness behind it, and
 * one more for an early result while it has records to tell of. A timer that fires serves all windows of its key.
 */
export class Firing {
  readonly #options: FiringOptions
  /** Must the state remember what has been told of a window? */
  readonly #remembers: boolean

  constructor(options: FiringOptions) {
    this.#options = options
    const { sessions, allowedLateness, every, count } = options
    this.#remembers = sessions && (allowedLateness > 0 || every > 0 || count > 0)
  }

  /** Is nothing to be done any more for a window that ends then? */
  isExpired(end: number, watermark: number): boolean {
    return end + this.#options.allowedLateness <= watermark
  }

  /** When the window is due, but for early results. */
  deadline({ end, closed }: StoredWindow): number {
    return closed ? end + this.#options.allowedLateness : end
  }

  /** A record has come into the window: is it time for a result, or when is it? Gives the window as it is then. */
  added(window: StoredWindow, key: unknown, context: AggregateContext, entries: TaggedEntry[]): StoredWindow {
    const { every, offset, count, sessions } = this.#options
    if (window.closed) return this.#fire(window, key, 'late', entries)
    if (count > 0 && window.fresh >= count) return this.#fire(window, key, 'early', entries)
    if (every > 0 && window.fresh === 1) {
      const next = floorTo(Math.max(context.watermark, window.start), every, offset) + every
      // A session may grow past the moment, and then it is due.
      if (sessions || next < window.end) context.timers.at(next, earlyTimer)
    }
    return window
  }

  /** A timer of the key has fired. */
  onTimer({ key, time, name }: FiredTimer<unknown>, context: AggregateContext): TaggedEntry[] {
    const { windows } = context.state
    const before = windows.get()
    if (before.length === 0) return []
    const after: StoredWindow[] = []
    const entries: TaggedEntry[] = []
    let changed = false
    for (const window of before) {
      const kept =
        name === earlyTimer
          ? this.#early(window, key, time, context, entries)
          : this.#due(window, key, time, context, entries)
      if (kept) after.push(kept)
      changed ||= kept !== window
    }
    if (after.length === 0) windows.delete()
    else if (changed) windows.set(after)
    return entries
  }

  #early(
    window: StoredWindow,
    key: unknown,
    time: number,
    { watermark }: AggregateContext,
    entries: TaggedEntry[]
  ): StoredWindow {
    // A window whose end the watermark has passed gives its result in a moment.
    const due =
      this.#options.every > 0 && !window.closed && window.fresh > 0 && window.start < time && window.end > watermark
    return due ? this.#fire(window, key, 'early', entries) : window
  }

  #due(
    window: StoredWindow,
    key: unknown,
    time: number,
    { timers }: AggregateContext,
    entries: TaggedEntry[]
  ): StoredWindow | undefined {
    const { sessions, allowedLateness } = this.#options
    let kept = window
    if (this.deadline(window) <= time) {
      if (window.closed) return undefined
      kept = { ...this.#fire(window, key, 'on-time', entries), closed: true }
      if (allowedLateness === 0) return undefined
    } else if (!sessions && !window.closed) return window
    // A session that has grown is due later than its timer, and so is a window whose lateness has been redefined. To set a
    // timer that is set costs little.
    timers.at(this.deadline(kept))
    return kept
  }

  #fire(
    window: StoredWindow,
    key: unknown,
    timing: Pane<unknown, unknown>['timing'],
    entries: TaggedEntry[]
  ): StoredWindow {
    const { results, result } = this.#options
    const { start, end, accumulator, reported } = window
    const replaces = reported.filter(other => other.start !== start || other.end !== end)
    results.write(entries, result({ key, value: accumulator, window: { start, end }, timing, replaces }), end - 1)
    return { ...window, fresh: 0, reported: this.#remembers ? [{ start, end }] : noReports }
  }
}
