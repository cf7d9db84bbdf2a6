import { isForAnother } from '../broker/index.ts'
import { unlessAborted } from '../core/environment.ts'
import type { Position, RawRecord } from '../core/record.ts'
import { Signal } from '../core/signal.ts'
import type { Stamp } from '../core/stamp.ts'
import { stampOf, type InputBatch, type PartitionInput } from './input.ts'
import { Lanes, type Job } from './lanes.ts'
import type { FlowParts, RecordFlow } from './sequential-processing.ts'
import { skipped } from './skips.ts'
import type { Work } from './work.ts'

export interface ConcurrentParts extends FlowParts {
  readonly concurrency: number
  /** Of a timer, an interval or `onWatermark`: so long may others go on before everything waits for it, ms. */
  readonly patience: number
  /** A handler has come back: `turn` has something to do. */
  wake(): void
}

/** What is begun of an input and not passed. */
interface Begun {
  readonly ids: Set<string>
  last: Position | undefined
}

/**
 * Records of one task whose handlers run beside each other, by key (`lanes.ts`). What they did becomes that of the task when
 * their turn comes, in the order of the input: positions, state, outputs, time, everything that a commit holds. Timers,
 * `onWatermark` and `onComplete` run alone.
 */
export class ConcurrentProcessing implements RecordFlow {
  readonly #parts: ConcurrentParts
  readonly #lanes: Lanes
  readonly #begun = new Map<PartitionInput, Begun>()
  readonly #progress: Signal
  /** Since when something waits to fire. */
  #firesSince: number | undefined

  constructor(parts: ConcurrentParts) {
    this.#parts = parts
    this.#progress = new Signal(parts.environment)
    this.#lanes = new Lanes({
      ...parts,
      progressed: () => {
        this.#progress.raise()
        parts.wake()
      }
    })
    for (const input of parts.inputs) this.#begun.set(input, { ids: new Set(), last: input.position })
  }

  get busy(): boolean {
    return this.#lanes.busy
  }

  /** It takes no more for now. */
  get blocked(): boolean {
    if (this.#lanes.full) return true
    const since = this.#firesSince
    return since !== undefined && this.#parts.environment.monotonic() - since >= this.#parts.patience
  }

  /** May what is due in event time fire now? Else it is asked again once nothing is under way. */
  mayFire(): boolean {
    if (!this.busy) {
      this.#firesSince = undefined
      return true
    }
    this.#firesSince ??= this.#parts.environment.monotonic()
    return false
  }

  /** Begins what fits; the rest comes back. */
  take(input: PartitionInput, { records, stamps }: InputBatch, enough: () => boolean): InputBatch | undefined {
    for (let index = 0; index < records.length; index++) {
      if (this.blocked || this.#parts.retries.queue.full || (index > 0 && enough()))
        return { records: records.slice(index), stamps: stamps.slice(index) }
      const raw = records[index]!
      const stamp = stamps[index]
      const work: Work = { input, raw, stamp, record: undefined, attempts: 0, waiting: undefined }
      this.#lanes.add(work, this.#isDoubtful(work), this.#parts.outputs.trace)
    }
    return undefined
  }

  /** Takes over what is done, tries again what is due. */
  async turn(enough: () => boolean): Promise<void> {
    const { retries, environment, inputs, time } = this.#parts
    for (const job of this.#lanes.retried) await this.#retried(job)
    for (let job; (job = this.#lanes.next) && !enough();) await this.#next(job)
    if (this.#firesSince !== undefined && !this.busy) await time.advance()
    for (const waiting of retries.queue.heads(environment.monotonic())) {
      if (this.#lanes.isUnderWay(waiting)) continue
      const { topic, raw, attempts } = waiting
      const input = inputs.find(({ bound }) => bound.topic.name === topic)
      // The stage does not read that topic any more.
      if (!input) retries.queue.remove(waiting)
      else this.#lanes.retry({ input, raw, stamp: stampOf(raw), record: undefined, attempts, waiting })
    }
  }

  /** Until the next attempt at a record that was put aside, ms; `undefined` when there is none. */
  get retryIn(): number | undefined {
    return this.#parts.retries.nextIn(this.#lanes.isUnderWay, true)
  }

  /** Begins nothing more, and takes over what comes to its turn: resolves when all handlers have come back. */
  async drain(): Promise<void> {
    const { signal } = this.#parts
    this.#lanes.stop()
    while (this.#lanes.running > 0) await unlessAborted(this.#progress.wait(undefined), signal)
    await this.turn(() => false)
  }

  async #next(job: Job): Promise<void> {
    const { processing, retries, task, counts } = this.#parts
    const { work, lane } = job
    const { input, raw, stamp } = work
    if (input.isRepeat(raw, stamp, task, counts)) {
      if (!input.isBehind(raw)) input.position = raw.position
    } else if (isForAnother(raw, task)) await processing.repeat(work)
    else if (input.isSkipped(raw, stamp)) await processing.park(work, skipped())
    else if (job.progress === 'held') {
      if (!retries.isBehind(work)) return this.#lanes.begin(job)
      await processing.putAside(work)
    } else if (job.progress === 'done') await this.#settle(job)
    else {
      const fate = this.#judge(job)
      if (fate === 'again') return this.#again(job)
      if (fate === 'aside') {
        await processing.putAside(work, job.error)
        this.#lanes.hold(lane)
      } else await processing.park(work, job.error)
    }
    this.#end(job)
  }

  async #retried(job: Job): Promise<void> {
    const { processing } = this.#parts
    if (job.progress === 'done') await this.#settle(job)
    else if (this.#judge(job) === 'park') await processing.park(job.work, job.error)
    else await processing.putAside(job.work, job.error)
    this.#end(job)
  }

  async #settle({ work, context, outputs, trace }: Job): Promise<void> {
    const { processing, context: shared, outputs: all, fetch, health, retries } = this.#parts
    const fetching = fetch(work.raw.key)
    if (fetching) await fetching
    shared.begin(work.raw.key, work.record)
    context!.apply()
    const before = all.trace
    all.trace = trace
    for (const output of outputs) all.append(output)
    all.trace = before
    if (work.attempts > 0) health.recovered(retries.queue.failingSince)
    await processing.settle(work, context!.expired)
  }

  #judge({ work, error }: Job): ReturnType<ConcurrentParts['retries']['judge']> {
    this.#parts.health.failed()
    work.attempts++
    return this.#parts.retries.judge(work, error)
  }

  /** Its key, and whose turn comes behind it, wait for it. */
  #again(job: Job): void {
    const { environment, retries } = this.#parts
    job.progress = 'waiting'
    environment.timer(retries.waitFor(job.work.attempts, job.error), () => this.#lanes.begin(job), true)
  }

  #end(job: Job): void {
    const { input, raw, stamp, waiting } = job.work
    if (!waiting) this.#begun.get(input)!.ids.delete(idOf(raw, stamp))
    this.#lanes.end(job)
    this.#parts.passed()
  }

  /** Must its turn come before it is known whether it is to be handled? A repeat is not handled twice. */
  #isDoubtful(work: Work): boolean {
    const { retries, task } = this.#parts
    const { input, raw, stamp } = work
    const begun = this.#begun.get(input)!
    const id = idOf(raw, stamp)
    const { adapter } = input.bound
    const isOld =
      begun.ids.has(id) ||
      input.isKnown(raw, stamp) ||
      (begun.last !== undefined &&
        adapter.capabilities.positions === 'log' &&
        adapter.comparePositions(raw.position, begun.last) <= 0)
    begun.ids.add(id)
    begun.last = raw.position
    return isOld || isForAnother(raw, task) || input.isSkipped(raw, stamp) || retries.isBehind(work)
  }
}

function idOf({ identity, position }: RawRecord, stamp: Stamp | undefined): string {
  if (stamp && stamp.sequence > 0) return `${stamp.producer}${stamp.sequence}`
  return identity ?? position
}
