import type { StreamRecord } from '../core/record.ts'
import type { AnyTopic } from '../core/topic.ts'
import type { AggregateContext, Firing } from './firing.ts'
import type { Accumulation } from './fixed-windows.ts'
import { expire, type TaggedEntry } from './results.ts'
import type { StoredWindow } from './stored-windows.ts'
import type { SessionWindowing } from './windowing.ts'

export interface MergingAccumulation extends Accumulation {
  merge(earlier: unknown, later: unknown): unknown
}

/** Session windows: a record makes one session of all those that it touches. */
export class SessionWindows {
  readonly #gap: number
  readonly #accumulation: MergingAccumulation
  readonly #firing: Firing
  readonly #late: AnyTopic | undefined

  constructor(
    { gap }: SessionWindowing,
    accumulation: MergingAccumulation,
    firing: Firing,
    late: AnyTopic | undefined
  ) {
    this.#gap = gap
    this.#accumulation = accumulation
    this.#firing = firing
    this.#late = late
  }

  process(record: StreamRecord, context: AggregateContext): TaggedEntry[] | TaggedEntry | undefined {
    const { state, timers, watermark } = context
    const { eventTime, key } = record
    const before = state.windows.get()
    // Sessions of a key do not overlap, and are in order: those that the record touches stand side by side.
    let from = 0
    while (from < before.length && before[from]!.end <= eventTime) from++
    let to = from
    while (to < before.length && before[to]!.start < eventTime + this.#gap) to++
    const touched = before.slice(from, to)

    const start = Math.min(eventTime, touched[0]?.start ?? eventTime)
    const end = Math.max(eventTime + this.#gap, touched.at(-1)?.end ?? eventTime)
    if (this.#firing.isExpired(end, watermark)) return expire(record, this.#late, context)
    // One that has not given its result yet, because timers are behind, still gives it on time.
    const open = touched.some(({ closed }) => !closed)
    const grown: StoredWindow = {
      start,
      end,
      accumulator: this.#accumulation.add(this.#merged(touched), record),
      closed: end <= watermark && !open,
      fresh: touched.reduce((sum, { fresh }) => sum + fresh, 1),
      reported: touched.flatMap(({ reported }) => reported)
    }
    // An open session has a timer already, not later than its end: when that fires, it moves on.
    if (!open) timers.at(this.#firing.deadline(grown))
    const entries: TaggedEntry[] = []
    const session = this.#firing.added(grown, key, context, entries)
    state.windows.set([...before.slice(0, from), session, ...before.slice(to)])
    return entries
  }

  #merged(touched: readonly StoredWindow[]): unknown {
    const [first, ...rest] = touched
    if (!first) return this.#accumulation.init()
    return rest.reduce((merged, { accumulator }) => this.#accumulation.merge(merged, accumulator), first.accumulator)
  }
}
