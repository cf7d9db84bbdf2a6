import { diagnose } from '../core/diagnostics.ts'
import type { Environment, Timer } from '../core/environment.ts'
import { AwakeClock } from './awake-clock.ts'
import type { Limits } from './judge.ts'
import type { HealthReport } from './report.ts'
import { RunHealth } from './run-health.ts'
import { StagePulse } from './stage-pulse.ts'

/** Time between two looks, ms. */
const interval = 1_000

/** Looks in vain for so long that the event loop must have stood still, ms. */
const blockedAfter = 2 * interval

/**
 * The health of one client: its runs and its plain consumers. It looks by itself every second while there are any, so that an
 * answer does not depend on how often somebody asks.
 */
export class ProcessHealth {
  readonly #environment: Environment
  readonly #clock: AwakeClock
  #runs: RunHealth[] = []
  readonly #consumers = new Map<StagePulse, Limits>()
  #timer: Timer | undefined
  #closed = false

  constructor(environment: Environment) {
    this.#environment = environment
    this.#clock = new AwakeClock(environment, blockedAfter)
  }

  /** A run of a pipeline begins. What is known of an earlier one that is over is forgotten. */
  run(pipeline: string, limits: Limits): RunHealth {
    this.#runs = this.#runs.filter(run => run.pipeline !== pipeline || !run.isOver)
    const run = new RunHealth(pipeline, this.#clock, limits)
    this.#runs.push(run)
    this.#watch()
    return run
  }

  consumer(group: string, topic: string, limits: Limits): { readonly pulse: StagePulse; end(): void } {
    const pulse = new StagePulse(group, topic, this.#clock, [], 'consumer of')
    this.#consumers.set(pulse, limits)
    this.#watch()
    return { pulse, end: () => void this.#consumers.delete(pulse) }
  }

  report(): HealthReport {
    const problems = [
      ...this.#runs.flatMap(run => run.look()),
      ...[...this.#consumers].flatMap(([pulse, limits]) => pulse.look(limits))
    ]
    const isUp = this.#runs.every(({ phase }) => phase === 'running' || phase === 'ended')
    return {
      live: !problems.some(({ mayRestartMend }) => mayRestartMend),
      ready: !this.#closed && isUp && problems.length === 0,
      problems,
      runs: this.#runs.map(({ state }) => state)
    }
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  #watch(): void {
    if (this.#timer || this.#closed) return
    this.#clock.tick()
    this.#timer = this.#environment.timer(interval, () => this.#look(), true)
  }

  #look(): void {
    this.#timer = undefined
    const gap = this.#clock.tick()
    if (gap > blockedAfter) diagnose('event-loop-blocked', { milliseconds: gap - interval })
    this.report()
    for (const run of this.#runs) run.scout()
    if (this.#runs.some(({ phase }) => phase !== 'ended') || this.#consumers.size > 0) this.#watch()
  }
}
