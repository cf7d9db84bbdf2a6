import { millisecondsOf, type Duration } from '../core/duration.ts'
import type { Environment } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'

/**
 * How many records a stage begins within a time, at each worker, over all of its tasks there. They are spread over it, and the tasks
 * take turns. Attempts after the first do not count: they have waits of their own.
 */
export interface RateLimit {
  readonly records: number
  readonly per: Duration
}

/** Records that are given out at once, in ms of their rate: fewer would take a timer for each. */
const quantum = 10
/** What was not used for so long may still be used, ms: timers come late. */
const saved = 50

/** Throws `bad-config`. */
export function checkRate(stage: string, limit: RateLimit | undefined): number | undefined {
  if (limit === undefined) return undefined
  const per = millisecondsOf(`stage '${stage}': rateLimit.per`, limit.per)
  if (limit.records > 0 && Number.isFinite(limit.records) && per > 0) return per / limit.records
  throw new StreamError(
    'bad-config',
    `stage '${stage}': rateLimit must be { records, per }, both above 0, got ${JSON.stringify(limit)}`
  )
}

/** So many records may be begun at a time, monotonic ms. */
export interface Grant {
  readonly at: number
  readonly records: number
}

/** Gives out the records of a rate in the order in which they are asked for, so that nobody who asks is passed over. */
export class Rate {
  readonly #environment: Environment
  /** Time between two records, ms. */
  readonly #every: number
  readonly #records: number
  #next = -Infinity

  constructor(every: number, environment: Environment) {
    this.#every = every
    this.#environment = environment
    this.#records = Math.max(1, Math.floor(quantum / every))
  }

  ask(): Grant {
    const at = Math.max(this.#next, this.#environment.monotonic() - saved)
    this.#next = at + this.#records * this.#every
    return { at, records: this.#records }
  }

  /** So many of a grant, or more than it, were begun: the rest is for others. */
  used(grant: Grant, records: number): void {
    this.#next += (records - grant.records) * this.#every
  }
}
