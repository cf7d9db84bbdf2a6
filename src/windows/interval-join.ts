import type { StreamRecord } from '../core/record.ts'
import type { AnyTopic, Topic } from '../core/topic.ts'
import { processor, type FiredTimer, type ProcessContext, type ProcessorStage, type Topics } from '../pipeline/index.ts'
import { keyed, type KeyedState } from '../state/index.ts'
import { checkSides, type Joined, type JoinType } from './join-types.ts'
import { checkTopics, expire, listOf, ResultWriter, type TaggedEntry } from './results.ts'
import { stageOptions, type StageOptions } from './stage-options.ts'
import { boundAs, noSides, storedSides, type StoredSides } from './stored-sides.ts'
import type { Waiting } from './timeline.ts'
import type { Keyed, KeyOf, LateTopic, PayloadOf, Results, SameKey } from './types.ts'
import { assertWhole } from './windowing.ts'

export interface IntervalJoinOptions<
  Left extends AnyTopic,
  Right extends AnyTopic,
  To extends Topics,
  Type extends JoinType,
  Result extends Results<To> = Results<To>
> extends StageOptions {
  readonly name: string
  readonly left: Left & Keyed<Left>
  /** Has keys of the same kind, and as many partitions. */
  readonly right: Right & SameKey<Left, Right>
  readonly to: To
  /** A left record may be so many ms before its partner, 0 or more. */
  readonly before: number
  /** A left record may be so many ms after its partner, 0 or more. */
  readonly after: number
  readonly type?: Type
  /**
   * The entries of a pair. Their event time is that of the later of the two; without a partner, the moment at which none
   * could come any more: `before` and `allowedLateness` after the left record. Unless they say another.
   */
  join(
    left: Joined<KeyOf<Left>, PayloadOf<Left>>,
    right: Joined<KeyOf<Right>, PayloadOf<Right>> | (Type extends 'left' ? undefined : never)
  ): Result
  /** How far behind the watermark a late record still finds its partners, ms. Default 0. */
  readonly allowedLateness?: number
  /** Take the records that come later than that. Default: they are counted as `expired`. */
  readonly late?: { readonly left?: LateTopic<Left>; readonly right?: LateTopic<Right> }
}

/**
 * A processor that brings together the records of two topics that have the same key, and times near each other: a left
 * record is a partner of a right one if `right.eventTime - before <= left.eventTime <= right.eventTime + after`. Whichever
 * comes first waits as state, and goes when the watermark says that no partner can come any more: state is bounded by time.
 *
 * Errors: `bad-config` for topics and times that cannot be, and for options of a processor that it has no use for.
 *
 * @example
 * const paid = intervalJoin({
 *   name: 'pay', left: orders, right: payments, to: paidOrders,
 *   before: HOUR, after: 0,                  // ordered within the hour before the payment
 *   join: (order, payment) => ({ key: order.key, value: { ...order.value, cents: payment.value.cents } })
 * })
 */
export function intervalJoin<
  const Left extends AnyTopic,
  const Right extends AnyTopic,
  const To extends Topics,
  const Type extends JoinType = 'inner',
  const Result extends Results<To> = Results<To>
>(options: IntervalJoinOptions<Left, Right, To, Type, Result>): ProcessorStage {
  const { name, left, right, to, late = {} } = options as AnyOptions
  const where = `intervalJoin '${name}'`
  const shared = stageOptions(where, options as AnyOptions)
  const results = listOf(to)
  const lateTopics = [...new Set([late.left, late.right].filter(topic => topic !== undefined))]
  checkTopics(where, [left, right], results, lateTopics)
  checkSides(where, left, right, options.type ?? 'inner')
  const join = new IntervalJoin(where, options as AnyOptions, results)
  return processor<any, any, any>({
    name,
    from: [left, right],
    to: [...results, ...lateTopics],
    state: {
      sides: keyed<StoredSides>(
        boundAs([left, right], (one, other) => storedSides(one!, other!)),
        noSides
      )
    },
    ...shared,
    process: (record, context) => join.process(record, context as never),
    onTimer: (timer, context) => join.onTimer(timer, context as never)
  })
}

type AnyOptions = Omit<
  IntervalJoinOptions<AnyTopic, AnyTopic, any, JoinType, any>,
  'left' | 'right' | 'late' | 'join'
> & {
  readonly left: AnyTopic
  readonly right: AnyTopic
  readonly late?: { readonly left?: Topic; readonly right?: Topic }
  join(left: Joined<unknown, unknown>, right: Joined<unknown, unknown> | undefined): unknown
}

type JoinContext = Omit<ProcessContext, 'state'> & {
  readonly state: { readonly sides: KeyedState<StoredSides, StoredSides> }
}

class IntervalJoin {
  readonly #options: AnyOptions
  readonly #results: ResultWriter
  readonly #outer: boolean
  readonly #allowedLateness: number
  /** How long a record of the side waits for partners, beyond its own time. */
  readonly #leftWait: number
  readonly #rightWait: number
  /** State is cleaned at multiples of this, a quarter of the time that records wait, not for each of them. */
  readonly #step: number

  constructor(where: string, options: AnyOptions, to: readonly AnyTopic[]) {
    const { before, after, type = 'inner', allowedLateness = 0 } = options
    assertWhole(`${where}: before`, before, 0)
    assertWhole(`${where}: after`, after, 0)
    assertWhole(`${where}: allowedLateness`, allowedLateness, 0)
    this.#options = options
    this.#results = new ResultWriter(`join of ${where}`, to)
    this.#outer = type === 'left'
    this.#allowedLateness = allowedLateness
    this.#leftWait = before + allowedLateness
    this.#rightWait = after + allowedLateness
    this.#step = Math.max(1, Math.ceil(Math.max(this.#leftWait, this.#rightWait) / 4))
  }

  process(record: StreamRecord, context: JoinContext): TaggedEntry[] | TaggedEntry | undefined {
    const { left, late, before, after } = this.#options
    const { state, timers, watermark } = context
    const { eventTime: time, value, key } = record
    const isLeft = record.topic === left.name
    if (time + this.#allowedLateness < watermark) return expire(record, isLeft ? late?.left : late?.right, context)

    const sides = state.sides.get()
    const partners = isLeft
      ? sides.right.between(time - after, time + before)
      : sides.left.between(time - before, time + after)
    const entries: TaggedEntry[] = []
    for (const partner of partners) {
      const mine = { key, value, eventTime: time }
      const other = { key, value: partner.value, eventTime: partner.time }
      const result = isLeft ? this.#options.join(mine, other) : this.#options.join(other, mine)
      this.#results.write(entries, result, Math.max(time, partner.time))
    }
    const item: Waiting = { time, value, matched: partners.length > 0 }
    const due = this.#due(item, isLeft)
    if (due < sides.armed) timers.at(due)
    state.sides.set({
      left: isLeft ? sides.left.add(item) : this.#outer ? sides.left.match(partners) : sides.left,
      right: isLeft ? sides.right : sides.right.add(item),
      armed: Math.min(due, sides.armed)
    })
    return entries
  }

  /** The watermark is past what some have waited for. */
  onTimer({ key, time }: FiredTimer<unknown>, { state, timers }: JoinContext): TaggedEntry[] {
    const sides = state.sides.get()
    const entries: TaggedEntry[] = []
    if (sides === noSides) return entries // an older timer than the one that was armed last
    const left = sides.left.from(time - this.#leftWait)
    const right = sides.right.from(time - this.#rightWait)
    if (this.#outer)
      for (const item of sides.left) {
        const end = item.time + this.#leftWait
        if (end >= time) break
        if (item.matched) continue
        const alone = { key, value: item.value, eventTime: item.time }
        this.#results.write(entries, this.#options.join(alone, undefined), end)
      }
    if (left.size === 0 && right.size === 0) {
      state.sides.delete()
      return entries
    }
    let { armed } = sides
    if (armed <= time) {
      armed = this.#next(left, right)
      timers.at(armed)
    }
    state.sides.set({ left, right, armed })
    return entries
  }

  /** When something is to be done for a record that waits. A left one that has no partner yet is told of at once. */
  #due({ time, matched }: Waiting, isLeft: boolean): number {
    const end = time + (isLeft ? this.#leftWait : this.#rightWait) + 1
    return isLeft && this.#outer && !matched ? end : Math.ceil(end / this.#step) * this.#step
  }

  #next(left: StoredSides['left'], right: StoredSides['right']): number {
    let next = Infinity
    if (right.first) next = this.#due(right.first, false)
    for (const item of left) {
      next = Math.min(next, this.#due(item, true))
      // Those behind it are due later, but for one without a partner.
      if (!this.#outer || !item.matched) break
    }
    return next
  }
}
