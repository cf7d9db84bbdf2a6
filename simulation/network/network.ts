import type { Machine } from '../core/machine.ts'
import type { Random } from '../core/random.ts'
import type { Scheduler } from '../core/scheduler.ts'

export type Target = 'broker' | 'store' | 'database'

/** What becomes of one request, in ms. */
export interface Fate {
  readonly request: number
  readonly response: number
  readonly lost: 'request' | 'response' | undefined
  /** It arrives again so much later. */
  readonly copy: number | undefined
  /** How long the caller waits for an answer. */
  readonly timeout: number
}

export interface Weather {
  /** Usual and longest latency of one way, ms. */
  readonly latency: readonly [number, number]
  /** Of a request or its answer, to be lost; of a request, to arrive twice. */
  readonly loss: number
  readonly copies: number
  /** Of a request, to take much longer, and how long at most. */
  readonly stragglers: number
  readonly longest: number
}

export const fine: Weather = { latency: [0.2, 5], loss: 0, copies: 0, stragglers: 0, longest: 0 }

/** Between the machines and what they use: late, lost and repeated requests, and partitions. */
export class Network {
  readonly #weather: Record<Target, Weather>
  readonly #random: Random
  readonly #scheduler: Scheduler
  readonly #cuts = new Map<string, number>()
  /** Longer latency of a target, until then. */
  readonly #slow = new Map<Target, { until: number; most: number }>()
  #healed = false

  constructor(scheduler: Scheduler, random: Random, weather: Record<Target, Weather>) {
    this.#scheduler = scheduler
    this.#random = random
    this.#weather = weather
  }

  fate(machine: Machine, target: Target, operation: string): Fate {
    const random = this.#random
    const { latency, loss, copies, stragglers, longest } = this.#healed ? fine : this.#weather[target]
    const [low, high] = latency
    const slow = this.#slow.get(target)
    const extra = slow && slow.until > this.#scheduler.now ? random.between(0, slow.most) : 0
    const request = random.skewed(low, high) + extra
    const timeout = random.chance(0.3) ? random.between(1, 50) : random.between(500, 3_000)
    const response = random.skewed(low, high)
    // Client libraries ask again by themselves; now and then they give up.
    const roll = random.next() * (operation === 'receive' ? 20 : 1)
    if (this.isCut(machine, target)) return { request, response, timeout, lost: 'request', copy: undefined }
    return {
      request: random.chance(stragglers) ? random.skewed(0, longest) : request,
      response,
      timeout: Math.max(timeout, request + response),
      lost: roll < loss ? 'request' : roll < 2 * loss ? 'response' : undefined,
      copy: isRepeatable(operation) && random.chance(copies) ? random.skewed(0, longest / 2) : undefined
    }
  }

  isCut(machine: Machine, target: Target): boolean {
    return (this.#cuts.get(`${machine.name} ${target}`) ?? 0) > this.#scheduler.now
  }

  cut(machine: Machine, target: Target, milliseconds: number): void {
    this.#cuts.set(`${machine.name} ${target}`, this.#scheduler.now + milliseconds)
  }

  slow(target: Target, most: number, milliseconds: number): void {
    this.#slow.set(target, { until: this.#scheduler.now + milliseconds, most })
  }

  /** From now on it is a network as one wishes. What is on its way stays so. */
  heal(): void {
    this.#healed = true
    this.#cuts.clear()
    this.#slow.clear()
  }
}

/** What may arrive twice without its sender having sent it twice, as the contracts of the drivers allow. */
const isRepeatable = (operation: string): boolean => operation === 'send'
