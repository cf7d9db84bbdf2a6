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
  readonly clock: AwakeClock
  #phase: RunPhase = 'starting'
  #since: number
  #error: unknown
  /** It starts, and what it needs is away. */
  #away: { readonly since: number; readonly error: unknown } | undefined
  #beganAnew = false
  #upSince = 0

  constructor(pipeline: string, clock: AwakeClock, limits: Limits) {
    this.pipeline = pipeline
    this.limits = limits
    this.clock = clock
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
    // Through them everything that its tasks hold would stay for as long as the client does.
    if (this.isOver) this.#letGo()
    if (phase !== 'starting') {
      this.#beganAnew = false
      this.answered()
    }
    if (phase === 'running') this.#upSince = this.clock.now()
    // For how long it has been interrupted counts from the first time.
    if (this.interrupted && (phase === 'starting' || phase === 'running')) return
    this.#error = error
    this.#since = this.clock.now()
  }

  /** What it needs in order to start is away, and is tried again. */
  tried(error: unknown): void {
    if (this.#phase === 'starting') this.#away = { since: this.#away?.since ?? this.clock.now(), error }
  }

  /** It is not away. Of a start that begins anew only its end tells: what came before may have gone well all the time. */
  answered(): void {
    if (!this.#beganAnew) this.#away = undefined
  }

  /** It could not start, and will begin anew. */
  beginAnew(error: unknown): void {
    this.#letGo()
    this.#phase = 'starting'
    this.#beganAnew = true
    this.tried(error)
  }

  /** It is refused what it was allowed, and will begin anew. */
  interrupt(error: unknown): void {
    this.beginAnew(error)
    if (!this.interrupted) this.#since = this.clock.now()
    this.interrupted = true
    this.#error = error
  }

  /** @param outlets since when its outputs are not taken, each: monotonic ms */
  stage(name: string, outlets: readonly (() => number | undefined)[] = []): StagePulse {
    const stage = new StagePulse(this.pipeline, name, this.clock, outlets)
    stage.onBeat = () => {
      this.gotOn = true
      this.#goOn()
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
    const { stalledAfter, unreachableAfter } = this.limits
    const now = this.clock.now()
    // With nothing to do it gets nothing done: that nobody refuses it anything has to be enough.
    if (this.#phase === 'running' && now - this.#upSince >= unreachableAfter && problems.length === 0) this.#goOn()
    if (this.interrupted && now - this.#since >= unreachableAfter)
      problems.push(this.#problem('unreachable', 'is refused what it was allowed before, and begins anew'))
    else if (this.#away && now - this.#away.since >= unreachableAfter)
      problems.push(this.#problem('unreachable', 'cannot reach what it needs to start, and tries again', this.#away))
    else if (this.#phase === 'starting' && now - this.#since >= stalledAfter)
      problems.push(this.#problem('unreachable', 'has not come up'))
    return problems
  }

  #letGo(): void {
    this.stages = []
    this.#scouts = []
  }

  #goOn(): void {
    if (!this.interrupted) return
    this.interrupted = false
    this.#error = undefined
  }

  get state(): RunState {
    const tasks = this.stages.reduce((sum, stage) => sum + stage.tasks.size, 0)
    return { pipeline: this.pipeline, phase: this.#phase, tasks }
  }

  #problem(
    cause: 'failed' | 'unreachable',
    what: string,
    { since, error }: { since: number; error: unknown } = { since: this.#since, error: this.#error }
  ): HealthProblem {
    const milliseconds = Math.round(this.clock.now() - since)
    const code = StreamError.is(error) ? ` (${error.code})` : ''
    return {
      cause,
      pipeline: this.pipeline,
      since: this.clock.wall(since),
      milliseconds,
      message: `pipeline '${this.pipeline}' ${what}, for ${seconds(milliseconds)}${code}`,
      ...(error !== undefined && { error }),
      mayRestartMend: cause === 'failed'
    }
  }
}
