import type { Environment } from '../core/environment.ts'
import { sizeOf, type Headers, type RawRecord } from '../core/record.ts'
import type { HandlerContext } from './handler-context.ts'
import { LaneContext, type StateChanges } from './lane-context.ts'
import type { Logic } from './logic.ts'
import type { EncodedOutput, OutputBuffer } from './outputs.ts'
import { laneOf } from './retry-queue.ts'
import type { Work } from './work.ts'

/** Records that are begun and not yet those of the task, per handler that may run: enough to find other keys. */
const perHandler = 16
/** At least so many, and at most so many bytes of them (law 8). */
const leastAhead = 256
const mostBytes = 8 * 1024 * 1024

/**
 * `waiting`: for its key. `running`. `done`: for its turn. `failed`: to be judged when its turn comes. `held`: nobody knows
 * before its turn whether it is to be handled at all.
 */
type Progress = 'waiting' | 'running' | 'done' | 'failed' | 'held'

/** A record on its way through a handler. */
export interface Job {
  readonly work: Work
  readonly lane: Lane
  progress: Progress
  error?: unknown
  context?: LaneContext
  outputs: readonly EncodedOutput[]
  /** Headers of the span in which it was begun. */
  readonly trace: Headers | undefined
}

/** Records of one key: one is handled at a time. */
interface Lane {
  readonly key: string
  busy: boolean
  /** Not begun, in order; behind one that is held, all wait. */
  readonly waiting: Job[]
  /** Done, and their turn has not come: what they changed, in order. */
  readonly changes: StateChanges[]
  jobs: number
}

export interface LaneParts {
  readonly concurrency: number
  readonly context: HandlerContext
  readonly logic: Logic
  readonly outputs: OutputBuffer
  readonly environment: Environment
  /** A handler has come back. */
  progressed(): void
  /** Fetches the state of a key; `undefined` when it is here. */
  fetch(key: RawRecord['key']): Promise<unknown> | undefined
}

/**
 * Runs handlers of different keys beside each other, and gives their records back in the order in which they came: what is
 * done early waits for its turn, so that a commit holds a contiguous piece of the input, and outputs have one order. A key has
 * one handler at a time, which sees what the one before it has done.
 */
export class Lanes {
  readonly #parts: LaneParts
  readonly #limit: number
  /** In the order in which they came. */
  readonly #jobs: Job[] = []
  #first = 0
  /** Records that were put aside, and are tried again: they have no turn. */
  readonly #again = new Set<Job>()
  readonly #lanes = new Map<string, Lane>()
  /** Lanes with something to begin and nothing under way. */
  readonly #ready = new Set<Lane>()
  #running = 0
  #bytes = 0
  #full = false
  #stopped = false

  constructor(parts: LaneParts) {
    this.#parts = parts
    this.#limit = Math.max(leastAhead, parts.concurrency * perHandler)
  }

  get busy(): boolean {
    return this.#size > 0 || this.#again.size > 0
  }

  /** Handlers under way. */
  get running(): number {
    return this.#running
  }

  /** It takes no more until half of it is done. */
  get full(): boolean {
    const size = this.#size
    if (size >= this.#limit || this.#bytes >= mostBytes) this.#full = true
    else if (size <= this.#limit / 2 && this.#bytes <= mostBytes / 2) this.#full = false
    return this.#full
  }

  get #size(): number {
    return this.#jobs.length - this.#first
  }

  /** @param held it is not to be begun before its turn */
  add(work: Work, held: boolean, trace?: Headers): void {
    const lane = this.#laneOf(work.raw)
    lane.jobs++
    const job: Job = { work, lane, progress: held ? 'held' : 'waiting', outputs: [], trace }
    this.#jobs.push(job)
    this.#bytes += sizeOf(work.raw)
    lane.waiting.push(job)
    this.#wake(lane)
  }

  /** Tries a record again that was put aside. False while its key is at work. */
  retry(work: Work): boolean {
    const known = this.#lanes.get(laneOf(work.raw))
    if (known && (known.busy || known.changes.length > 0)) return false
    const lane = this.#laneOf(work.raw)
    lane.jobs++
    const job: Job = { work, lane, progress: 'waiting', outputs: [], trace: undefined }
    this.#again.add(job)
    // Before all that wait behind it.
    lane.waiting.unshift(job)
    this.#wake(lane)
    return true
  }

  /** Is it being tried again? */
  readonly isUnderWay = ({ id }: { readonly id: number }): boolean => {
    for (const { work } of this.#again) if (work.waiting!.id === id) return true
    return false
  }

  /** One whose turn has come and that was held, or failed and is to be tried in its place. */
  begin(job: Job): void {
    const { lane, progress } = job
    job.progress = 'waiting'
    if (progress !== 'held') {
      lane.busy = false
      lane.waiting.unshift(job)
    }
    this.#wake(lane)
  }

  /** The one whose turn it is, if that is to be dealt with: all but `waiting` and `running`. */
  get next(): Job | undefined {
    const job = this.#jobs[this.#first]
    return job && job.progress !== 'waiting' && job.progress !== 'running' ? job : undefined
  }

  /** Those tried again that are through. */
  get retried(): Job[] {
    return [...this.#again].filter(({ progress }) => progress === 'done' || progress === 'failed')
  }

  /** It is the task's now, or put aside, parked or dropped: the next of its key may begin. */
  end(job: Job): void {
    const { lane, work } = job
    if (!this.#again.delete(job)) {
      this.#bytes -= sizeOf(work.raw)
      this.#jobs[this.#first++] = undefined as never
      // Now and then, not each time.
      if (this.#first > 1_000 && this.#first * 2 > this.#jobs.length) {
        this.#jobs.splice(0, this.#first)
        this.#first = 0
      }
    }
    if (job.context) lane.changes.splice(lane.changes.indexOf(job.context.changes), 1)
    if (job.progress === 'failed') lane.busy = false
    if (job.progress === 'held') lane.waiting.splice(lane.waiting.indexOf(job), 1)
    if (--lane.jobs === 0) this.#lanes.delete(lane.key)
    else this.#wake(lane)
  }

  /** Those behind one that was put aside: none of them is to be begun before its turn. */
  hold(lane: Lane): void {
    for (const job of lane.waiting) job.progress = 'held'
  }

  /** Begins nothing more. */
  stop(): void {
    this.#stopped = true
  }

  #laneOf(raw: RawRecord): Lane {
    const key = laneOf(raw)
    let lane = this.#lanes.get(key)
    if (!lane) this.#lanes.set(key, (lane = { key, busy: false, waiting: [], changes: [], jobs: 0 }))
    return lane
  }

  #wake(lane: Lane): void {
    if (lane.busy || lane.waiting.length === 0) return
    this.#ready.add(lane)
    this.#pump()
  }

  #pump(): void {
    for (const lane of this.#ready) {
      if (this.#stopped || this.#running >= this.#parts.concurrency) return
      this.#ready.delete(lane)
      const [job] = lane.waiting
      if (!job || job.progress === 'held') continue
      lane.waiting.shift()
      lane.busy = true
      job.progress = 'running'
      this.#running++
      void this.#run(job)
    }
  }

  /** Never rejects. */
  async #run(job: Job): Promise<void> {
    const { lane } = job
    try {
      const { context, outputs } = await this.#attempt(job)
      job.context = context
      job.outputs = outputs
      job.progress = 'done'
      lane.changes.push(context.changes)
      lane.busy = false
    } catch (error) {
      job.error = error
      job.progress = 'failed' // nobody of its key goes on before it is judged
    }
    this.#running--
    if (!lane.busy && lane.waiting.length > 0) this.#ready.add(lane)
    this.#pump()
    this.#parts.progressed()
  }

  async #attempt({ work, lane }: Job): Promise<{ context: LaneContext; outputs: readonly EncodedOutput[] }> {
    const { context: shared, logic, outputs, fetch } = this.#parts
    const { input, raw, stamp } = work
    const fetching = fetch(raw.key)
    if (fetching) await fetching
    const record = (work.record ??= input.decode(raw, stamp, work.waiting?.reached))
    const context = new LaneContext(shared, record, raw.key, lane.changes)
    const result = await logic.process(record, context)
    return { context, outputs: await outputs.encode(result, record.eventTime) }
  }
}
