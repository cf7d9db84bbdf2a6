import { StreamError } from '../core/errors.ts'
import type { Environment } from '../core/environment.ts'
import { AwakeClock } from './awake-clock.ts'
import type { Limits } from './judge.ts'
import type { HealthProblem, RunPhase, RunState } from './report.ts'
import { seconds, StagePulse } from './stage-pulse.ts'

/** Of a run that nobody asks about. */
export function unwatched(pipeline: string, environment: Environment, limits: Limits): RunHealth {
  return new RunHealth(pipeline, new AwakeClock(environment, Infinity), limits)
}

/** The health of one run: its phase, and its stages. */
export class RunHealth {
  readonly pipeline: string
  stages: StagePulse[] = []
  /** Something has been got done since the start. */
  gotOn: boolean = false
  /** Rights that it had are refused, and it begins anew until something is got done again. */
  interrupted: boolean = false
  readonly limits: Limits
  #scouts: (() => void)[] = []
  readonly #clock: AwakeClock
  #phase: RunPhase = 'starting'
  #since: number
  #error: unknown

  constructor(pipeline: string, clock: AwakeClock, limits: Limits) {
    this.pipeline = pipeline
    this.limits = limits
    this.#clock = clock
    this.#since = clock.now()
  }

  get phase(): RunPhase {
    return this.#phase
  }

  get isOver(): boolean {
    return this.#phase === 'ended' || this.#phase === 'failed'
  }

  /** @param error of `failed` */
  enter(phase: RunPhase, error?: unknown): void {
    if (this.isOver) return
    this.#phase = phase
    // For how long it has been interrupted counts from the first time.
    if (this.interrupted && (phase === 'starting' || phase === 'running')) return
    this.#error = error
    this.#since = this.#clock.now()
  }

  /** It is refused what it was allowed, and will begin anew. */
  interrupt(error: unknown): void {
    this.stages = []
    this.#scouts = []
    this.#phase = 'starting'
    if (!this.interrupted) this.#since = this.#clock.now()
    this.interrupted = true
    this.#error = error
  }

  /** @param outlets since when its outputs are not taken, each: monotonic ms */
  stage(name: string, outlets: readonly (() => number | undefined)[] = []): StagePulse {
    const stage = new StagePulse(this.pipeline, name, this.#clock, outlets)
    stage.onBeat = () => {
      this.gotOn = true
      if (!this.interrupted) return
      this.interrupted = false
      this.#error = undefined
    }
    this.stages.push(stage)
    return stage
  }

  /** Called once a second while the run is up: to look where a pulse cannot tell. */
  onScout(scout: () => void): void {
    this.#scouts.push(scout)
  }

  scout(): void {
    if (this.#phase === 'running') for (const scout of this.#scouts) scout()
  }

  look(): HealthProblem[] {
    if (this.#phase === 'ended') return []
    if (this.#phase === 'failed') return [this.#problem('failed', 'has failed and does not run any more')]
    const problems = this.stages.flatMap(stage => stage.look(this.limits))
    const away = this.#clock.now() - this.#since
    if (this.interrupted && away >= this.limits.unreachableAfter)
      return [...problems, this.#problem('unreachable', 'is refused what it was allowed before, and begins anew')]
    const isLate = this.#phase === 'starting' && this.#clock.now() - this.#since >= this.limits.stalledAfter
    return isLate ? [...problems, this.#problem('unreachable', 'has not come up')] : problems
  }

  get state(): RunState {
    const tasks = this.isOver ? 0 : this.stages.reduce((sum, stage) => sum + stage.tasks.size, 0)
    return { pipeline: this.pipeline, phase: this.#phase, tasks }
  }

  #problem(cause: 'failed' | 'unreachable', what: string): HealthProblem {
    const milliseconds = Math.round(this.#clock.now() - this.#since)
    const code = StreamError.is(this.#error) ? ` (${this.#error.code})` : ''
    return {
      cause,
      pipeline: this.pipeline,
      since: this.#clock.wall(this.#since),
      milliseconds,
      message: `pipeline '${this.pipeline}' ${what}, for ${seconds(milliseconds)}${code}`,
      ...(this.#error !== undefined && { error: this.#error }),
      mayRestartMend: cause === 'failed'
    }
  }
}
