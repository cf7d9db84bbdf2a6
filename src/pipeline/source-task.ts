import { StreamError } from '../core/errors.ts'
import type { Position } from '../core/record.ts'
import type { ProducerId } from '../core/stamp.ts'
import type { TracedSpan } from '../core/tracing.ts'
import type { Head } from '../exactly-once/index.ts'
import { fromSnapshot, noCounts, toSnapshot, type Counts } from '../watermark/index.ts'
import type { Committed } from './committer.ts'
import type { SourceStage, WatermarkClaim } from './definitions.ts'
import type { OutputBuffer } from './outputs.ts'
import type { StageRuntime } from './stage-runtime.ts'
import { openOutputs } from './task-head.ts'

type Item = { readonly cursor?: unknown } & Partial<WatermarkClaim>

/**
 * One life of one split of a source: turns what the user yields into stamped outputs, and knows how far time has come:
 * the newest event time less the lateness of the topic, or what the source claims.
 */
export class SourceTask implements Committed {
  counts: Counts = noCounts
  outputs!: OutputBuffer
  cursor: unknown
  finished: boolean = false
  dirty: boolean = false
  uncommitted: number = 0
  readonly #runtime: StageRuntime<SourceStage>
  readonly #producer: ProducerId
  readonly #lateness: number
  readonly #task: string
  #newest = -Infinity
  #span: TracedSpan | undefined

  constructor(runtime: StageRuntime<SourceStage>, task: string, producer: ProducerId) {
    this.#runtime = runtime
    this.#task = task
    this.#producer = producer
    this.#lateness = Math.max(...runtime.to.map(({ topic }) => topic.lateness))
  }

  get watermark(): number {
    return this.finished ? Infinity : this.outputs.watermark
  }

  recover(head: Head | undefined): OutputBuffer {
    this.cursor = head?.cursor
    this.finished = head?.finished === true
    this.counts = { ...noCounts, ...head?.counts }
    this.#newest = head?.newest ?? -Infinity
    this.outputs = openOutputs(this.#runtime, this.#producer, head)
    this.outputs.watermark = fromSnapshot(head?.watermark ?? null)
    return this.outputs
  }

  /** Takes one thing that the source yielded: an entry, a claim, or an array of them. */
  take(item: unknown): void {
    this.#trace()
    if (Array.isArray(item)) for (const each of item) this.#one(each)
    else this.#one(item as Item)
  }

  end(): void {
    this.finished = true
    this.dirty = true
  }

  snapshot(): { head: Head; state: []; positions: (never & { position: Position })[] } {
    const head: Head = {
      positions: {},
      trackers: {},
      sequences: this.outputs.sequences(),
      watermark: toSnapshot(this.outputs.watermark),
      counts: this.#counted(),
      tallies: { read: {}, sent: this.outputs.tallies() },
      cursor: this.cursor,
      finished: this.finished,
      ...(this.#newest !== -Infinity && { newest: this.#newest })
    }
    return { head, state: [], positions: [] }
  }

  applied(): void {
    this.endTrace()
    this.counts = this.#counted()
    this.dirty = false
    this.uncommitted = 0
  }

  /** One span from a commit to the next. */
  #trace(): void {
    const { tracing } = this.#runtime
    if (this.#span || !tracing) return
    this.#span = tracing.begin({ task: this.#task, topic: undefined, partition: undefined, headers: [] })
    this.outputs.trace = this.#span.headers
  }

  /** The commit took effect, or this life is over. */
  endTrace(error?: unknown): void {
    this.#span?.end(error)
    this.#span = undefined
    this.outputs.trace = undefined
  }

  #counted(): { -readonly [Name in keyof Counts]: Counts[Name] } {
    return { ...this.counts, emitted: this.counts.emitted + this.outputs.records.length }
  }

  #one(item: Item): void {
    if (typeof item !== 'object' || item === null)
      throw new StreamError(
        'bad-record',
        `a source must yield entries ({ key, value }), watermarks or arrays of them, not ${String(item)}`
      )
    this.dirty = true
    if (!('key' in item) && !('value' in item) && typeof item.watermark === 'number') {
      this.#raise(Math.floor(item.watermark)) // a stamp carries whole milliseconds
      return
    }
    const { outputs } = this
    const now = this.#runtime.environment.now()
    outputs.add(item as never, now, now)
    this.uncommitted++
    if (item.cursor !== undefined) this.cursor = item.cursor
    const { timestamp } = outputs.records.at(-1)!
    if (timestamp < outputs.watermark) this.counts = { ...this.counts, late: this.counts.late + 1 }
    if (timestamp > this.#newest) {
      this.#newest = timestamp
      this.#raise(timestamp - this.#lateness)
    }
  }

  #raise(watermark: number): void {
    if (watermark > this.outputs.watermark) this.outputs.watermark = watermark
  }
}
