import { abortedError, type Environment } from '../../src/core/environment.ts'
import { StreamError } from '../../src/core/errors.ts'
import type { Fate, Network, Target } from '../network/network.ts'
import type { CallLog } from './call-log.ts'
import type { Random } from './random.ts'
import type { Owner, Scheduler } from './scheduler.ts'
import type { Story } from './story.ts'

export interface Surroundings {
  readonly scheduler: Scheduler
  readonly network: Network
  readonly calls: CallLog
  readonly story: Story
  readonly random: Random
  /** After so many ms of silence the broker takes a machine for dead. */
  readonly session: number
}

export interface CallOptions<Result> {
  readonly signal?: AbortSignal | undefined
  /** What the caller gets when the answer does not come. Default: a retryable `connection` error. */
  readonly unclear?: (error: StreamError) => Result
  /** When the answer does not come, nothing has happened and nothing will: the client library sees to that. */
  readonly clean?: boolean
  /** Waits at the other side for as long as it likes; its answer is not lost, because the client asks again for it. */
  readonly patient?: boolean
  /** It took effect, and the caller will never know of it. */
  readonly unheard?: (result: Result) => void
}

/** A promise that the dead wait for. */
export const never = <Result>(): Promise<Result> => new Promise(() => {})

/** When the clock of the world starts. */
export const worldStart: number = Date.UTC(2026, 0, 1)

/**
 * One process of the simulation: all of its code runs in events that belong to it, so it can be stopped for a while (a
 * long garbage collection, a suspended host) and it can die between any two calls. Its wall clock is its own.
 */
export class Machine implements Owner {
  readonly name: string
  readonly environment: Environment
  alive = true
  stoppedUntil = 0
  /** How far its wall clock is off, ms. */
  skew: number
  readonly #world: Surroundings
  readonly #onDeath: (machine: Machine) => void

  constructor(world: Surroundings, name: string, onDeath: (machine: Machine) => void) {
    this.name = name
    this.#world = world
    this.#onDeath = onDeath
    const random = world.random.fork(name)
    this.skew = Math.round(random.between(-1, 1) * 300_000)
    const born = random.between(0, 1e6)
    const { scheduler } = world
    this.environment = {
      now: () => Math.floor(worldStart + scheduler.now + this.skew),
      monotonic: () => scheduler.now + born,
      random: () => random.next(),
      timer: (delay, task) => {
        if (!this.#survives('timer')) return { cancel: () => {} }
        return scheduler.after(delay + random.next(), task, this)
      },
      turn: () => (this.#survives('turn') ? new Promise(resolve => scheduler.after(0, resolve, this)) : never())
    }
  }

  /** What its monotonic clock shows when that of the world shows `at`. */
  localTime(at: number): number {
    return at - this.#world.scheduler.now + this.environment.monotonic()
  }

  /** What the other side does when it has not heard of us for a session. */
  later(run: () => void): void {
    this.#world.scheduler.after(this.#world.session, run)
  }

  stop(milliseconds: number): void {
    this.stoppedUntil = Math.max(this.stoppedUntil, this.#world.scheduler.now + milliseconds)
  }

  /** Nothing of it runs any more. What it has sent is still on its way. */
  kill(): void {
    if (!this.alive) return
    this.alive = false
    this.#world.story.tell(() => `${this.name} dies`)
    this.#onDeath(this)
  }

  /** One request to something outside, through a network that may be slow, lose things and repeat them. */
  call<Result>(
    target: Target,
    operation: string,
    effect: () => Result | Promise<Result>,
    options: CallOptions<Result> = {}
  ): Promise<Result> {
    if (!this.alive) return never()
    const crash = this.#world.calls.next(this, `${target} ${operation}`)
    if (crash === 'before') {
      this.kill()
      return never()
    }
    const given = this.#world.network.fate(this, target, operation)
    const fate =
      options.clean && (given.lost || given.request > given.timeout) ? { ...given, lost: 'request' as const } : given
    return new Promise((resolve, reject) => {
      const { signal } = options
      if (signal?.aborted) return reject(abortedError(signal))
      new Call(this, this.#world, target, operation, fate, effect, options, resolve, reject, crash === 'after').begin()
    })
  }

  #survives(what: string): boolean {
    if (!this.alive) return false
    if (!this.#world.calls.next(this, what)) return true
    this.kill()
    return false
  }
}

class Call<Result> {
  #settled = false
  #onAbort: (() => void) | undefined
  readonly #machine: Machine
  readonly #world: Surroundings
  readonly #what: string
  readonly #target: Target
  readonly #fate: Fate
  readonly #effect: () => Result | Promise<Result>
  readonly #options: CallOptions<Result>
  readonly #resolve: (result: Result) => void
  readonly #reject: (error: unknown) => void
  readonly #fatal: boolean

  constructor(
    machine: Machine,
    world: Surroundings,
    target: Target,
    operation: string,
    fate: Fate,
    effect: () => Result | Promise<Result>,
    options: CallOptions<Result>,
    resolve: (result: Result) => void,
    reject: (error: unknown) => void,
    fatal: boolean
  ) {
    this.#machine = machine
    this.#world = world
    this.#target = target
    this.#what = `${target} ${operation}`
    this.#fate = fate
    this.#effect = effect
    this.#options = options
    this.#resolve = resolve
    this.#reject = reject
    this.#fatal = fatal
  }

  begin(): void {
    const { signal } = this.#options
    if (signal) {
      this.#onAbort = () => this.#settle(() => this.#reject(abortedError(signal)))
      signal.addEventListener('abort', this.#onAbort, { once: true })
    }
    const { request, copy, timeout, lost } = this.#fate
    if (lost === 'request') return this.#fail(timeout)
    if (request > timeout) this.#fail(timeout)
    this.#world.scheduler.after(request, () => this.#arrive())
    // The network, or a client library that resends: the same request once more, and nobody hears its answer.
    if (copy !== undefined)
      this.#world.scheduler.after(request + copy, () => {
        this.#world.story.tell(() => `${this.#machine.name}: ${this.#what} arrives once more`)
        void Promise.resolve(this.#effect()).catch(() => {})
      })
  }

  #arrive(): void {
    const { patient, signal } = this.#options
    if (this.#world.network.isCut(this.#machine, this.#target)) return this.#fail(this.#fate.timeout)
    if (patient && (this.#settled || signal?.aborted)) return
    let result: Promise<Result>
    try {
      result = Promise.resolve(this.#effect())
    } catch (error) {
      result = Promise.reject(error as Error)
    }
    if (this.#fatal) this.#machine.kill()
    result.then(
      value => this.#answer(() => this.#resolve(value), value),
      error => this.#answer(() => this.#reject(error))
    )
  }

  #answer(settle: () => void, value?: Result): void {
    const { lost, timeout, response } = this.#fate
    const { patient, unheard } = this.#options
    const machine = this.#machine
    const lose = (): void => {
      if (value !== undefined) unheard?.(value)
      this.#fail(timeout)
    }
    if (lost === 'response' && !patient) return lose()
    this.#world.scheduler.after(
      response,
      () => {
        if (this.#world.network.isCut(machine, this.#target)) return lose()
        if (this.#settled && value !== undefined) unheard?.(value)
        this.#settle(settle)
      },
      machine
    )
  }

  #fail(delay: number): void {
    this.#world.scheduler.after(
      delay,
      () =>
        this.#settle(() => {
          this.#world.story.tell(() => `${this.#machine.name}: no answer to ${this.#what}`)
          const error = new StreamError('connection', `no answer to ${this.#what}`, { retryable: true })
          const { unclear } = this.#options
          if (unclear) this.#resolve(unclear(error))
          else this.#reject(error)
        }),
      this.#machine
    )
  }

  #settle(settle: () => void): void {
    if (this.#settled) return
    this.#settled = true
    // The signal may live as long as the machine: each listener that stays makes the next ones slower.
    if (this.#onAbort) this.#options.signal!.removeEventListener('abort', this.#onAbort)
    settle()
  }
}
