import { decodePart, delayOf, type BoundTopic } from '../broker/index.ts'
import { sleep, type Environment } from '../core/environment.ts'
import { messageOf, StreamError } from '../core/errors.ts'
import type { TimerEntry, TimerQueue } from '../state/index.ts'
import type { Completion } from './completion.ts'
import type { HandlerContext } from './handler-context.ts'
import type { Policy } from './failure-policy.ts'
import { isPromise, type Logic } from './logic.ts'
import type { OutputBuffer } from './outputs.ts'
import type { Interval } from './process-context.ts'
import type { StateLoader } from './state-loader.ts'

export interface ClockParts {
  readonly task: string
  readonly logic: Logic
  readonly policy: Policy
  readonly context: HandlerContext
  readonly timers: TimerQueue
  /** Of a stage with `onComplete`. */
  readonly completion?: Completion | undefined
  readonly outputs: OutputBuffer
  /** Its key codec reads the keys of timers. */
  readonly input: BoundTopic
  readonly environment: Environment
  readonly signal: AbortSignal
  /** Fetches the state of timers. */
  readonly loader: Pick<StateLoader, 'fetchDue'>
  /** The commit is large enough: the rest of the timers fires after it (law 8). */
  full(): boolean
}

/** Most timers that fire before others get a turn. */
const mostAtOnce = 2_000

/**
 * Event time at one task: fires the timers that are due, earliest first, and raises what the task promises for its outputs,
 * which stays behind a timer that has not fired.
 */
export class EventClock {
  watermark: number
  readonly #parts: ClockParts
  /** The last watermark that `onWatermark` was told. */
  #told: number
  /** The schema of its key was asked for. */
  #fetched: TimerEntry | undefined
  #decoded: { readonly timer: TimerEntry; readonly key: unknown } | undefined

  constructor(parts: ClockParts, watermark: number) {
    this.#parts = parts
    this.watermark = watermark
    // Timers that were due at the last commit, and not fired in it, hold the promise where it was.
    const held = earlier(parts.timers.due(watermark)?.time, parts.completion?.due(watermark)?.end)
    this.#told = parts.context.settled = held ?? watermark
    parts.outputs.watermark = held === undefined ? watermark : held - 1
  }

  /** There is a timer to fire, or an interval to close, though the watermark stands still: it was set for the past, or the last commit was full. */
  get behind(): boolean {
    const { timers, completion } = this.#parts
    return timers.due(this.watermark) !== undefined || completion?.due(this.watermark) !== undefined
  }

  /** Does a handler run when time comes to `watermark`? */
  fires(watermark: number): boolean {
    const { timers, completion, logic } = this.#parts
    if (timers.due(watermark) !== undefined || completion?.due(watermark) !== undefined) return true
    return logic.onWatermark !== undefined && watermark > this.#told
  }

  /** Synchronous as long as the handlers are. */
  advance(watermark: number): Promise<void> | undefined {
    this.watermark = watermark
    return this.#fire()
  }

  #fire(): Promise<void> | undefined {
    const { timers, completion, outputs, full } = this.#parts
    const { watermark } = this
    for (let fired = 0; fired < mostAtOnce; fired++) {
      const timer = timers.due(watermark)
      const interval = completion?.due(watermark)
      if (!timer && !interval) return this.#tell()
      if (full()) return undefined
      const fetching = timer && (this.#parts.loader.fetchDue(watermark) ?? this.#fetchKey(timer))
      if (fetching) return fetching.then(() => this.#fire())
      // A timer at the end of an interval belongs to it.
      const isOver = interval !== undefined && (timer === undefined || interval.end < timer.time)
      // Until it is done, outputs at its time are still to come, and of the span that ends there: its last ms is in it.
      outputs.watermark = Math.max(outputs.watermark, (isOver ? interval.end : timer!.time) - 1)
      const pending = isOver
        ? this.#guarded(`the end of the interval of ${interval.start}`, () => this.#over(interval))
        : this.#guarded(`the timer '${timer!.name}' of ${timer!.time}`, () => this.#one(timer!))
      const close = (): void => void (isOver && completion!.close(interval))
      if (!pending) close()
      else
        return pending.then(() => {
          close()
          return this.#fire()
        })
    }
    return undefined
  }

  /**
   * Fetches the schema that the key was written with, when it is not known: a timer that was restored, or that has waited for long,
   * may be older than all that this run has read. Once: what then does not decode is an error of its own.
   */
  #fetchKey(timer: TimerEntry): Promise<void> | undefined {
    const codec = this.#parts.input.key
    if (!codec.prepare || this.#fetched === timer) return undefined
    try {
      this.#keyOf(timer)
      return undefined
    } catch {
      return codec.prepare([bytesOf(timer)])?.then(() => void (this.#fetched = timer))
    }
  }

  #keyOf(timer: TimerEntry): unknown {
    if (this.#decoded?.timer !== timer)
      this.#decoded = { timer, key: decodePart(this.#parts.input, 'key', bytesOf(timer)) }
    return this.#decoded.key
  }

  #one(timer: TimerEntry): Promise<void> | undefined {
    const { context, timers, logic, outputs } = this.#parts
    const { time, name } = timer
    context.begin(bytesOf(timer), timer)
    timers.cancel(timer)
    const key = this.#keyOf(timer)
    this.#decoded = undefined // Another attempt gets a key of its own.
    const result = logic.fire({ key, time, name }, context)
    return isPromise(result)
      ? Promise.resolve(result).then(entries => outputs.collect(entries, time))
      : outputs.collect(result, time)
  }

  #over(interval: Interval): Promise<void> | undefined {
    const { context, logic, outputs } = this.#parts
    context.begin(null, interval)
    const result = logic.onComplete!(interval, context)
    const eventTime = interval.end - 1
    return isPromise(result)
      ? Promise.resolve(result).then(entries => outputs.collect(entries, eventTime))
      : outputs.collect(result, eventTime)
  }

  #tell(): Promise<void> | undefined {
    const { outputs, logic, context } = this.#parts
    const { watermark } = this
    if (watermark !== Infinity) outputs.watermark = Math.max(outputs.watermark, watermark)
    if (watermark <= this.#told) return undefined
    this.#told = context.settled = watermark
    if (!logic.onWatermark) return undefined
    const eventTime = watermark === Infinity ? outputs.watermark : watermark
    return this.#guarded(`the watermark ${watermark}`, () => {
      context.begin(null, undefined)
      const result = logic.onWatermark!(watermark, context)
      if (isPromise(result)) return Promise.resolve(result).then(entries => outputs.collect(entries, eventTime))
      return outputs.collect(result, eventTime)
    })
  }

  #guarded(what: string, attempt: () => Promise<void> | undefined): Promise<void> | undefined {
    const mark = this.#parts.outputs.mark()
    try {
      return attempt()?.catch(error => this.#again(what, mark, error, attempt))
    } catch (error) {
      return this.#again(what, mark, error, attempt)
    }
  }

  /** There is no record to park here: what no attempt mends stops the task. */
  async #again(what: string, mark: number, first: unknown, attempt: () => Promise<void> | undefined): Promise<void> {
    const { policy, environment, signal, task } = this.#parts
    this.#undo(mark)
    let error = first
    for (let count = 1; count <= policy.retries; count++) {
      await sleep(environment, delayOf(policy.backoff, count, environment), signal)
      try {
        return await attempt()
      } catch (thrown) {
        this.#undo(mark)
        error = thrown
      }
    }
    throw new StreamError(
      'handler',
      `task '${task}' failed ${policy.retries + 1} times on ${what}: ${messageOf(error)}`,
      { cause: error }
    )
  }

  #undo(mark: number): void {
    this.#parts.context.rollback()
    this.#parts.outputs.rollback(mark)
  }
}

function bytesOf({ key }: TimerEntry): Buffer {
  return Buffer.from(key, 'latin1')
}

function earlier(left: number | undefined, right: number | undefined): number | undefined {
  return left === undefined || right === undefined ? (left ?? right) : Math.min(left, right)
}
