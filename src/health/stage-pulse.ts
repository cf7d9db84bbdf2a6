import { StreamError } from '../core/errors.ts'
import type { AwakeClock } from './awake-clock.ts'
import { mayRestartMend, type Limits, type Verdict } from './judge.ts'
import { Pulse } from './pulse.ts'
import type { HealthProblem } from './report.ts'

/** Of an output: since when its broker takes nothing, monotonic ms. */
type Outlet = () => number | undefined

/** One stage of a run in this process, or one consumer: its tasks, and its connections. */
export class StagePulse {
  readonly pipeline: string
  readonly stage: string
  readonly tasks: Map<string, Pulse> = new Map()
  readonly #noun: 'stage' | 'consumer of'
  /** Set by the run. */
  onBeat: () => void = () => {}
  readonly #clock: AwakeClock
  /** Of each output: did it take nothing at the last look, and since when. */
  readonly #outlets: readonly Outlet[]
  #unsentSince: number | undefined
  #lost: { readonly since: number; readonly error: unknown } | undefined

  constructor(
    pipeline: string,
    stage: string,
    clock: AwakeClock,
    outlets: readonly Outlet[] = [],
    noun: 'stage' | 'consumer of' = 'stage'
  ) {
    this.#noun = noun
    this.pipeline = pipeline
    this.stage = stage
    this.#clock = clock
    this.#outlets = outlets
  }

  /** The task of a partition or split is this process's now. */
  begin(part: string | number): Pulse {
    const pulse = new Pulse(String(part), this.#clock, this.onBeat)
    this.tasks.set(pulse.part, pulse)
    return pulse
  }

  /** It is not any more. */
  end(pulse: Pulse): void {
    if (this.tasks.get(pulse.part) === pulse) this.tasks.delete(pulse.part)
  }

  /** The reader has lost its broker, and tries again. */
  lost(error: unknown): void {
    this.#lost = { since: this.#lost?.since ?? this.#clock.now(), error }
  }

  /** The broker answers. */
  found(): void {
    this.#lost = undefined
  }

  look(limits: Limits): HealthProblem[] {
    const problems = [...this.tasks.values()].flatMap(pulse => {
      const verdict = pulse.look(limits)
      return verdict ? [this.#problem(verdict, pulse)] : []
    })
    const now = this.#clock.now()
    const isUnsent = this.#outlets.some(outlet => outlet() !== undefined)
    this.#unsentSince = isUnsent ? (this.#unsentSince ?? now) : undefined
    for (const { since, error } of [this.#lost, isUnsent && { since: this.#unsentSince!, error: undefined }].filter(
      found => found !== undefined && found !== false
    ))
      if (now - since >= limits.unreachableAfter) problems.push(this.#problem({ cause: 'unreachable', since, error }))
    return problems
  }

  /** The error that names the handlers which have not come back: what a stop that gives up on them ends with. */
  hanging(): StreamError | undefined {
    const found = [...this.tasks.values()].flatMap(pulse => (pulse.hanging ? [{ pulse, ...pulse.hanging }] : []))
    if (found.length === 0) return undefined
    const now = this.#clock.now()
    const lines = found.map(
      ({ pulse, work, since }) =>
        `${this.#taskOf(pulse)} has been ${work.doing}${placeOf(work)} for ${seconds(now - since)}`
    )
    return new StreamError(
      'handler',
      `stopped without waiting for handlers that do not come back: ${lines.join('; ')}. What they had not finished is not committed, and is processed again; let them heed the \`signal\` of their context`
    )
  }

  #problem({ cause, since, work, error }: Verdict, pulse?: Pulse): HealthProblem {
    const milliseconds = Math.round(this.#clock.now() - since)
    const who = pulse ? this.#taskOf(pulse) : this.#name
    return {
      cause,
      pipeline: this.pipeline,
      stage: this.stage,
      ...(pulse && { partition: pulse.part }),
      ...(work?.topic !== undefined && { topic: work.topic }),
      ...(work?.position !== undefined && { position: work.position }),
      since: this.#clock.wall(since),
      milliseconds,
      message: `${who} ${sentence(cause, work && `${work.doing}${placeOf(work)}`)}, for ${seconds(milliseconds)}${codeOf(error)}`,
      ...(error !== undefined && { error }),
      mayRestartMend: mayRestartMend(cause)
    }
  }

  get #name(): string {
    return `${this.#noun} '${this.stage}'`
  }

  #taskOf({ part }: Pulse): string {
    return `partition ${part} of ${this.#name}`
  }
}

function sentence(cause: Verdict['cause'], doing: string | undefined): string {
  switch (cause) {
    case 'hung':
      return `hangs while ${doing}`
    case 'unreachable':
      return doing === undefined ? 'cannot reach its broker or store and tries again' : `waits while ${doing}`
    case 'failing':
      return 'has records and fails at each attempt'
    default:
      return 'has records and does not get on'
  }
}

const placeOf = ({ topic, partition, position }: NonNullable<Verdict['work']>): string =>
  topic === undefined ? '' : ` (${topic}/${partition} at ${position})`

export const seconds = (milliseconds: number): string => `${Math.round(milliseconds / 1_000)} s`

const codeOf = (error: unknown): string => (StreamError.is(error) ? ` (${error.code})` : '')
