import { delayOf } from '../broker/index.ts'
import { diagnose } from '../core/diagnostics.ts'
import type { Environment } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'
import { askedWait, assertGoingOn, type Policy } from './failure-policy.ts'
import { laneOf, RetryQueue, type Waiting } from './retry-queue.ts'
import type { PartitionInput } from './input.ts'
import type { Work } from './work.ts'

/** `aside`: it waits in the queue, and the task goes on. `again`: it waits in its place. */
export type Fate = 'aside' | 'again' | 'park'

/**
 * What becomes of records that failed, for one task: the policy of its stage, and the queue of those that wait. Decides; the
 * task carries it out.
 */
export class Retries {
  readonly queue: RetryQueue
  readonly #task: string
  readonly #policy: Policy
  readonly #environment: Environment
  readonly #signal: AbortSignal

  constructor(task: string, policy: Policy, environment: Environment, signal: AbortSignal) {
    this.#task = task
    this.#policy = policy
    this.#environment = environment
    this.#signal = signal
    this.queue = new RetryQueue(environment)
  }

  /** Must it wait behind an earlier one of its key? */
  isBehind(work: Work): boolean {
    return this.queue.size > 0 && this.queue.has(laneOf(work.raw))
  }

  /** An attempt has failed, and is counted already. Throws what ends the run: `handler`, or `aborted` when that is under way. */
  judge(work: Work, error: unknown): Fate {
    assertGoingOn(this.#signal)
    const { retries, then, order } = this.#policy
    const kind = this.#policy.kindOf(error)
    if (kind === 'fatal') throw this.#fatal(work, error)
    if (kind === 'poison' || work.attempts > retries) {
      if (then === 'stop') throw this.#stopped(work, error)
      diagnose('record-parked', { ...this.#placeOf(work), attempts: work.attempts, error })
      return 'park'
    }
    diagnose('record-retried', { ...this.#placeOf(work), attempt: work.attempts, error })
    return work.waiting || (order === 'key' && this.queue.takes(work.raw)) ? 'aside' : 'again'
  }

  /** How long to wait before the next attempt, ms. */
  waitFor(attempts: number, error: unknown): number {
    return Math.max(askedWait(error), delayOf(this.#policy.backoff, attempts, this.#environment))
  }

  /** Puts a record aside, or back where it was. @param error of its last attempt; none for one that only waits behind another */
  putAside(work: Work, place: Pick<Waiting, 'hold' | 'reached' | 'before'>, error?: unknown): void {
    const now = this.#environment.monotonic()
    const dueAt = work.attempts === 0 ? now : now + this.waitFor(work.attempts, error)
    if (work.waiting) return this.queue.again(work.waiting, dueAt)
    this.queue.add({
      ...place,
      topic: work.input.bound.topic.name,
      lane: laneOf(work.raw),
      raw: work.raw,
      attempts: work.attempts,
      since: this.#environment.now(),
      dueAt
    })
  }

  /** Until the next attempt is due, ms; `undefined` when none will be. */
  nextIn(underWay?: (waiting: Waiting) => boolean, alone?: boolean): number | undefined {
    const at = this.queue.size === 0 ? Infinity : this.queue.nextAt(underWay, alone)
    return at === Infinity ? undefined : Math.max(0, at - this.#environment.monotonic())
  }

  #placeOf({ input, raw }: Work): { task: string; topic: string; partition: number; position: string } {
    return { task: this.#task, topic: input.bound.topic.name, partition: input.partition, position: raw.position }
  }

  #stopped(work: Work, error: unknown): StreamError {
    const { attempts } = work
    const how = attempts === 1 ? 'failed' : `failed ${attempts} times`
    return new StreamError(
      'handler',
      `task '${this.#task}' ${how} on the record ${whereIs(work)}, and its policy is to stop`,
      { cause: error }
    )
  }

  #fatal(work: Work, error: unknown): StreamError {
    return new StreamError(
      'handler',
      `task '${this.#task}' met a fatal error on the record ${whereIs(work)}: mend its cause, and the run goes on there`,
      { cause: error }
    )
  }
}

function whereIs({ input, raw }: { readonly input: PartitionInput; readonly raw: Work['raw'] }): string {
  return `${input.bound.topic.name}/${input.partition} at ${raw.position}`
}
