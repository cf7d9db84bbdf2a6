import { StreamError } from '../../core/errors.ts'
import type { Position } from '../../core/record.ts'
import type { Skip } from '../../exactly-once/index.ts'
import type { TopicPartition } from '../../spec/index.ts'
import type { Pipeline, ProcessorStage, SinkStage } from '../definitions.ts'
import type { Guarantee } from '../settings.ts'

/**
 * Where stages begin again.
 *
 * - `earliest`: with the oldest record that is there
 * - `latest`: behind the last record that is there now
 * - `time`: with the first record that the broker got then or later, ms since the epoch (by `capabilities.brokerTime`)
 * - `watermark`: so far back that nothing is missing from this event time on; what is earlier comes as late
 * - `after`: behind these records; other partitions stay where they are
 */
export type ReplayFrom =
  | 'earliest'
  | 'latest'
  | { readonly time: number }
  | { readonly watermark: number }
  | { readonly after: readonly (TopicPartition & { readonly position: Position })[] }

/** What is parked instead of processed, with code `skipped`. Without a partition: of all; without a topic: of all. */
export type SkipRange = Skip & { readonly topic?: string; readonly partition?: number }

export interface ReplayOptions {
  /** Default: they stay where they are; then `skip` is for what comes. */
  readonly from?: ReplayFrom
  /**
   * What becomes of keyed state, timers and intervals. `reset`: as if there had never been any. `keep`: they stay, and count once more
   * what is read once more. Must be said where `from` is.
   */
  readonly state?: 'keep' | 'reset'
  /**
   * What becomes of what it writes while it reads again. `all` (default): all of it is written, as new records. `new`: what the
   * pipeline had done before is done without a word, and it writes from where it stood on: a new version takes the place of the old one,
   * with state of its own, and readers get nothing twice. Goes with `state: 'reset'`.
   */
  readonly outputs?: 'all' | 'new'
  readonly skip?: readonly SkipRange[]
  /** Names of the stages. Default: those that read something that no stage of the pipeline writes. */
  readonly stages?: readonly string[]
  /** As the pipeline runs. Default `exactly-once`. */
  readonly guarantee?: Guarantee
  /** How long those have to be gone who have crashed, ms: the `sessionTimeout` of the pipeline. Default 10,000. */
  readonly sessionTimeout?: number
  /** Checks all of it, says what would be, and changes nothing. */
  readonly dryRun?: boolean
  readonly signal?: AbortSignal
}

/** One partition of one input of a task. */
export interface Rewound extends TopicPartition {
  readonly task: string
  /** Last processed before the call. */
  readonly before: Position | undefined
  /** Where it begins: the position last processed, or a place that the broker finds. */
  readonly start: { readonly after: Position } | { readonly time: number } | 'earliest' | 'unchanged'
  /** Rows of state, timers and waiting records that are deleted with it, of the task. */
  readonly rows: number
}

type ReadingStage = ProcessorStage | SinkStage

/** The stages that are meant. Throws `bad-config` for what cannot be meant. */
export function chosen(app: Pipeline, options: ReplayOptions): readonly ReadingStage[] {
  const { from, state, outputs = 'all', skip = [], stages } = options
  const refuse = (what: string): StreamError =>
    new StreamError('bad-config', `replay of pipeline '${app.name}': ${what}`)
  if (from === undefined && skip.length === 0) throw refuse('give `from`, `skip`, or both')
  if (from !== undefined && state === undefined)
    throw refuse("say with `state` what becomes of keyed state and timers: 'reset', or 'keep'")
  if (from === undefined && state !== undefined) throw refuse('`state` goes with `from`')
  if (outputs !== 'all' && outputs !== 'new') throw refuse("outputs must be 'all' or 'new'")
  if (outputs === 'new' && state !== 'reset')
    throw refuse("`outputs: 'new'` builds the state anew: it goes with `from`, and with state 'reset'")
  const known = app.stages.map(({ name }) => name)
  const reading = app.stages.filter((stage): stage is ReadingStage => stage.kind !== 'source')
  for (const name of stages ?? []) {
    if (!known.includes(name)) throw refuse(`there is no stage '${name}'; known are ${known.join(', ')}`)
    if (!reading.some(stage => stage.name === name))
      throw refuse(`stage '${name}' is a source: its cursor is its own; replay the stages that read what it wrote`)
  }
  const written = new Set(
    app.stages.filter(({ kind }) => kind !== 'source').flatMap(({ to }) => to.map(({ name }) => name))
  )
  const found = reading.filter(stage =>
    stages ? stages.includes(stage.name) : stage.from.some(({ name }) => !written.has(name))
  )
  for (const { kind, name } of found)
    if (outputs === 'new' && kind === 'sink')
      throw refuse(
        `stage '${name}' is a sink, which writes what it reads: \`outputs: 'new'\` is for processors; name them with \`stages\``
      )
  if (found.length === 0) throw refuse('it has no stage that reads')
  const topics = new Set(found.flatMap(stage => stage.from.map(({ name }) => name)))
  const named = [...skip, ...(typeof from === 'object' && 'after' in from ? from.after : [])]
  for (const { topic } of named)
    if (topic !== undefined && !topics.has(topic))
      throw refuse(`none of its stages ${found.map(({ name }) => name).join(', ')} reads topic '${topic}'`)
  return found
}
