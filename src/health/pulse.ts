import { StreamError } from '../core/errors.ts'
import type { AwakeClock } from './awake-clock.ts'
import { judge, type Failure, type Limits, type Signs, type Verdict, type Watched, type Work } from './judge.ts'

interface UnderWay {
  readonly work: Work
  since: number
}

/** What a task can tell of itself when it is looked at; it is not asked in between. */
export interface Load {
  /** Records wait for it in this process. */
  readonly queued: boolean
  /** It has processed something and not committed it, or put something aside to try it again. */
  readonly owing: boolean
  /** Records that it is done with, one way or the other. */
  readonly done: number
  /** Records that its producers say they have written and it has not seen. They may be gone by now. */
  pending(): number
  /** What it reads, and the last record of it that it has processed. */
  readonly places: readonly Place[]
}

export interface Place {
  readonly topic: string
  readonly partition: number
  readonly position: string | undefined
}

/**
 * The pulse of one task: written as it works, for next to nothing, and read by the health of the process. It outlives the
 * lives of the task, so that one that only ever restarts does not seem to be well.
 */
export class Pulse {
  /** Of a stage: a partition or a split. */
  readonly part: string
  /** Tells what waits; absent while the task comes up. */
  load: (() => Load) | undefined
  /** Somebody has looked into its topics, and found records that it does not read. */
  found: boolean = false
  readonly #clock: AwakeClock
  readonly #onBeat: () => void
  readonly #underWay = new Set<UnderWay>()
  #progress = 0
  #done: number | undefined
  #failure: Failure | undefined
  #watched: Watched | undefined

  /** @param onBeat called with each thing that is got done */
  constructor(part: string, clock: AwakeClock, onBeat: () => void = () => {}) {
    this.#onBeat = onBeat
    this.part = part
    this.#clock = clock
  }

  /** Something is got done: a commit, a record of a loop. A commit that only puts aside what fails is no progress. */
  beat(): void {
    const done = this.load?.().done
    if (this.#failure && done === this.#done) return
    this.#done = done
    this.#progress++
    this.#onBeat()
    this.#failure = undefined
    this.found = false
  }

  /** It is up, and nothing is queued, under way or left to commit. */
  get isQuiet(): boolean {
    const load = this.load?.()
    return load !== undefined && !load.queued && !load.owing && this.#underWay.size === 0
  }

  get progress(): number {
    return this.#progress
  }

  /** `pending`, and as long as it takes the task is in the middle of it. */
  async during<Result>(work: Work, pending: PromiseLike<Result>): Promise<Result> {
    const end = this.begin(work)
    try {
      return await pending
    } finally {
      end()
    }
  }

  begin(work: Work): () => void {
    const entry: UnderWay = { work, since: this.#clock.now() }
    this.#underWay.add(entry)
    return () => void this.#underWay.delete(entry)
  }

  failed(error: unknown): void {
    const unreachable = isUnreachable(error)
    const before = this.#failure
    const since = before?.unreachable === unreachable ? before.since : this.#clock.now()
    this.#failure = { since, error, unreachable }
  }

  /** An attempt has gone well. */
  recovered(): void {
    if (this.#failure) this.#failure = undefined
  }

  /** What was under way in a life that is over is nobody's now, unless it is the user's code that still runs. */
  ended(): void {
    this.load = undefined
    for (const entry of this.#underWay) if (entry.work.by === 'outside') this.#underWay.delete(entry)
  }

  look(limits: Limits): Verdict | undefined {
    // It has come up again, so what was away has answered; there may never be anything to get done that would tell.
    if (this.#failure?.unreachable && this.isQuiet) this.#failure = undefined
    const [watched, verdict] = judge(this.#watched, this.#signs(limits), this.#clock.now(), limits)
    this.#watched = watched
    return verdict
  }

  /** The oldest call of the user's code that has not come back. */
  get hanging(): { readonly work: Work; readonly since: number } | undefined {
    for (const entry of this.#underWay) if (entry.work.by !== 'outside') return entry
    return undefined
  }

  #signs({ stalledAfter }: Limits): Signs {
    const { queued, owing } = this.load?.() ?? { queued: false, owing: true }
    const { hanging } = this
    const [first] = this.#underWay
    // A write hangs inside of a commit: the user's code is named.
    const oldest = hanging && this.#clock.now() - hanging.since >= stalledAfter ? hanging : first
    return { progress: this.#progress, waiting: queued || this.found, owing, oldest, failure: this.#failure }
  }
}

function isUnreachable(error: unknown): boolean {
  return StreamError.is(error) && ['connection', 'timeout', 'throttled', 'unknown-outcome'].includes(error.code)
}
