import type { Position, StreamRecord } from '../core/record.ts'
import type { Head, QuietSpan } from '../exactly-once/index.ts'
import type { TimerEntry } from '../state/index.ts'
import { fromSnapshot } from '../watermark/index.ts'
import type { PartitionInput } from './input.ts'
import type { OutputBuffer } from './outputs.ts'
import type { Interval } from './process-context.ts'

type Origin = Pick<StreamRecord, 'topic' | 'position'> | TimerEntry | Interval | undefined

interface QuietInput {
  readonly input: PartitionInput
  readonly until: Position
  readonly but: ReadonlySet<Position>
}

/** Says of each piece of work whether what it writes has been written before a replay that writes nothing twice. */
export class Quiet {
  readonly #span: QuietSpan
  readonly #outputs: OutputBuffer
  readonly #waiting: { readonly size: number }
  readonly #watermark: number
  /** By the name that handlers use. */
  readonly #inputs = new Map<string, QuietInput>()

  /** @param waiting records that wait for another attempt: they may be of the span */
  constructor(
    span: QuietSpan,
    inputs: readonly PartitionInput[],
    outputs: OutputBuffer,
    waiting: { readonly size: number }
  ) {
    this.#span = span
    this.#outputs = outputs
    this.#waiting = waiting
    this.#watermark = fromSnapshot(span.watermark)
    for (const input of inputs) {
      const { name, called = name } = input.bound.topic
      const until = span.until[name]
      if (until !== undefined) this.#inputs.set(called, { input, until, but: new Set(span.but[name]) })
    }
  }

  /** @param watermark of the task, where the work is to tell of it */
  begin(origin: Origin, watermark: number): void {
    this.#outputs.muted = this.#covers(origin, watermark)
  }

  /**
   * What the next commit keeps of it; `undefined` once everything of it is done.
   *
   * @param settled all that was due up to here is done
   */
  left(settled: number): QuietSpan | undefined {
    const isOver = (settled >= this.#watermark || this.#inputs.size === 0) && this.#waiting.size === 0
    for (const { input, until } of this.#inputs.values())
      if (!isOver || input.position === undefined || isBefore(input, input.position, until)) return this.#span
    this.#outputs.muted = false
    return undefined
  }

  #covers(origin: Origin, watermark: number): boolean {
    if (origin === undefined) return watermark <= this.#watermark
    if ('start' in origin) return origin.end <= this.#watermark
    if ('time' in origin) return origin.time <= this.#watermark
    const known = this.#inputs.get(origin.topic)
    return (
      known !== undefined && !isBefore(known.input, known.until, origin.position) && !known.but.has(origin.position)
    )
  }
}

/** @param head the last commit */
export function quietOf(
  head: Head | undefined,
  ...parts: [inputs: readonly PartitionInput[], outputs: OutputBuffer, waiting: { readonly size: number }]
): Quiet | undefined {
  return head?.quiet && new Quiet(head.quiet, ...parts)
}

function isBefore({ bound }: PartitionInput, left: Position, right: Position): boolean {
  return bound.adapter.comparePositions(left, right) < 0
}
