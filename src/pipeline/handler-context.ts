import { StreamError } from '../core/errors.ts'
import type { StreamRecord } from '../core/record.ts'
import { stateKey, type TaskState, type TimerEntry, type TimerQueue } from '../state/index.ts'
import type { Interval, ProcessContext, Timeliness, Timers } from './process-context.ts'
import type { Quiet } from './quiet.ts'
import type { TaskHealth } from './task-health.ts'

/** What is being worked on: a record, a timer, or an interval that is over. */
type Origin = Pick<StreamRecord, 'topic' | 'partition' | 'position' | 'eventTime'> | TimerEntry | Interval

/** The one context object of a task, pointed at each record in turn: nothing is made per record. */
export class HandlerContext implements ProcessContext {
  readonly task: string
  readonly signal: AbortSignal
  readonly timers: Timers
  readonly expire: () => void
  watermark: number = -Infinity
  /** All timers up to here have fired. */
  settled: number = -Infinity
  /** The handler has called `expire` for the record at hand. */
  expired: boolean = false
  /** Set in recovery, before anything is handled. */
  health!: TaskHealth
  /** Of a task that reads again what it has read. */
  quiet: Quiet | undefined
  readonly #state: TaskState
  readonly #queue: TimerQueue
  #key: Uint8Array | null = null
  #origin: Origin | undefined

  constructor(task: string, signal: AbortSignal, state: TaskState, queue: TimerQueue) {
    this.task = task
    this.signal = signal
    this.#state = state
    this.#queue = queue
    this.expire = () => (this.expired = true)
    this.timers = {
      at: (time, name = '') => queue.set(this.timerAt(time, name, this.#key)),
      cancel: (time, name = '') => queue.cancel(this.timerAt(time, name, this.#key))
    }
  }

  get state(): ProcessContext['state'] {
    return this.#state.handles as ProcessContext['state']
  }

  get idempotencyKey(): string {
    const origin = this.#origin
    if (origin === undefined) return this.task
    if ('position' in origin) return idempotencyKeyOf(origin)
    if ('start' in origin) return `${this.task}/interval/${origin.start}`
    return `${this.task}/timer/${origin.time}/${origin.name}/${Buffer.from(origin.key, 'latin1').toString('hex')}`
  }

  /** What a state gives for a key that was never set. */
  initialOf(name: string): unknown {
    return this.#state.initialOf(name)
  }

  get timeliness(): Timeliness {
    return this.health.timeliness(this.watermark)
  }

  /** Points state, timers and idempotency key at the next piece of work, and forgets the undo logs. */
  begin(key: Uint8Array | null, origin: Origin | undefined): void {
    this.#key = key
    this.#origin = origin
    this.expired = false
    this.quiet?.begin(origin, this.watermark)
    this.#state.begin(key, this.#timeOf(origin))
    this.#queue.begin()
  }

  rollback(): void {
    this.#state.rollback()
    this.#queue.rollback()
  }

  /** By which state lives: that of a timer is its own, however far the watermark has come, and none that is past. */
  #timeOf(origin: Origin | undefined): number {
    if (origin && 'eventTime' in origin) return Math.max(origin.eventTime, this.watermark)
    return origin && 'time' in origin ? Math.max(origin.time, this.settled) : this.watermark
  }

  /** Throws `handler`. */
  timerAt(time: number, name: string, of: Uint8Array | null): TimerEntry {
    const key = stateKey(of)
    if (key !== null) return { time: whole(time), name, key }
    throw new StreamError(
      'handler',
      'a timer was set for a record without a key: give the topic a key codec and send keyed records'
    )
  }
}

/** Of whatever is done for a record. */
export function idempotencyKeyOf({
  topic,
  partition,
  position
}: Pick<StreamRecord, 'topic' | 'partition' | 'position'>): string {
  return `${topic}/${partition}/${position}`
}

function whole(time: number): number {
  if (Number.isFinite(time)) return Math.trunc(time)
  throw new StreamError('handler', `a timer must be set for a time in milliseconds, got ${time}`)
}
