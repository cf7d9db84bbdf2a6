import { millisecondsOf, type Duration } from '../core/duration.ts'
import { diagnose } from '../core/diagnostics.ts'
import { StreamError } from '../core/errors.ts'
import type { StreamRecord } from '../core/record.ts'
import type { AnyTopic } from '../core/topic.ts'
import { ailments, type Ailment } from '../watermark/index.ts'
import type { ProcessContext, Timeliness } from './process-context.ts'

/** What a decision needs of its input. Each limit is the largest value that is still good enough; what is left out does not matter. */
export interface Limits {
  /** How far the watermark may be behind the clock. While it is unknown it is too far. */
  readonly behind?: Duration
  /** Share of failed attempts at the worst stage above, 0 to 1. */
  readonly failureRate?: number
  /** Share of late records at the worst stage, here and above, 0 to 1. */
  readonly lateRate?: number
  /** Records that wait here and above. */
  readonly pending?: number
  /** Stages above that have fallen silent. */
  readonly silent?: number
  /** Causes of trouble, here or above, that forbid a decision. */
  readonly troubles?: readonly Ailment[]
  /** `true`: not on a watermark that was guessed. */
  readonly exact?: true
}

export interface GuardOptions<Otherwise extends AnyTopic | undefined> {
  /** Takes the records that must not be decided on, as they are. Default: they are counted as `expired`. */
  readonly otherwise?: Otherwise
  /** Of a stage with several inputs: the topics whose records ask for a decision. Those of the others are handled. Default: all. */
  readonly only?: AnyTopic | readonly AnyTopic[]
}

/** What `when` makes. */
export interface Guard<Otherwise extends AnyTopic | undefined = AnyTopic | undefined> {
  readonly kind: 'guard'
  readonly limits: Limits
  readonly otherwise: Otherwise
  /** Names of the topics that it is for; `undefined`: all. */
  readonly only: readonly string[] | undefined
  /** `undefined` when it is timely, else a sentence that says by what it is not. For handlers that decide for themselves. */
  judge(timeliness: Timeliness): string | undefined
}

/** Headers of a record that went to the side output. */
export const withheldHeaders = {
  /** By what it was not timely. */
  reason: 'withheld-reason',
  /** `pipeline/stage: cause` of the worst trouble; absent when nobody is in trouble. */
  culprit: 'withheld-culprit'
} as const

/**
 * Lets a stage see only what it may decide on: a record that is handled while the input is not timely enough goes to a side
 * output instead.
 *
 * Errors: `bad-config` for limits that cannot be.
 *
 * @example
 * const decide = processor({
 *   name: 'decide', from: averages, to: signals,
 *   guard: when({ behind: '5s', failureRate: 0.01 }, { otherwise: withheld }),
 *   process: ({ key, value }) => ({ key, value: value.fast > value.slow ? 'buy' : 'sell' })
 * })
 */
export function when<const Otherwise extends AnyTopic | undefined = undefined>(
  limits: Limits,
  options: GuardOptions<Otherwise> = {}
): Guard<Otherwise> {
  const behind = limits.behind === undefined ? Infinity : millisecondsOf('when: behind', limits.behind)
  const rates = { failureRate: limits.failureRate, lateRate: limits.lateRate }
  for (const [name, value] of Object.entries(rates))
    if (value !== undefined && !(value >= 0 && value <= 1)) throw refused(`${name} must be from 0 to 1`, value)
  for (const [name, value] of Object.entries({ pending: limits.pending, silent: limits.silent }))
    if (value !== undefined && !(value >= 0)) throw refused(`${name} must be a number, 0 or more`, value)
  for (const cause of limits.troubles ?? [])
    if (!ailments.includes(cause)) throw refused(`troubles are ${ailments.join(', ')}`, cause)
  const { failureRate = 1, lateRate = 1, pending = Infinity, silent = Infinity, troubles = [], exact = false } = limits
  return {
    kind: 'guard',
    limits,
    otherwise: options.otherwise as Otherwise,
    only: options.only && [options.only].flat().map(({ name }) => name),
    judge(timely) {
      if (timely.behind > behind)
        return Number.isFinite(timely.behind)
          ? `the watermark is ${seconds(timely.behind)} behind, and ${seconds(behind)} is allowed`
          : 'the watermark is not known yet'
      if (timely.failureRate > failureRate)
        return `${percent(timely.failureRate)} of the attempts fail, and ${percent(failureRate)} is allowed`
      if (timely.lateRate > lateRate)
        return `${percent(timely.lateRate)} of the records are late, and ${percent(lateRate)} is allowed`
      if (timely.pendingUpstream > pending) return `${timely.pendingUpstream} records wait, and ${pending} are allowed`
      if (timely.stale.length > silent) return `silent: ${timely.stale.join(', ')}`
      const trouble = timely.troubles.find(({ cause }) => troubles.includes(cause))
      if (trouble) return `${trouble.stage} is ${trouble.cause}`
      return exact && !timely.exact ? 'the watermark is a guess' : undefined
    }
  }
}

/** A handler behind its guard, if it has one. */
export function guarded(
  guard: Guard | undefined,
  process: (record: StreamRecord, context: ProcessContext) => unknown
): (record: StreamRecord, context: ProcessContext) => unknown {
  if (!guard) return process
  return (record, context) => {
    const held = withheld(guard, record, context)
    return held ? held.entries : process(record, context)
  }
}

/** What becomes of a record that must not be decided on; `undefined` for one that may be handled. */
export function withheld(
  guard: Guard,
  record: StreamRecord,
  context: Pick<ProcessContext, 'task' | 'timeliness' | 'expire'>
): { readonly entries: unknown } | undefined {
  if (guard.only && !guard.only.includes(record.topic)) return undefined
  const { timeliness } = context
  const reason = guard.judge(timeliness)
  return reason === undefined ? undefined : { entries: withhold(guard, record, context, timeliness, reason) }
}

function withhold(
  { otherwise }: Guard,
  { topic, partition, position, key, value, headers, eventTime }: StreamRecord,
  context: Pick<ProcessContext, 'task' | 'expire'>,
  { slowest, troubles: [worst] }: Timeliness,
  reason: string
): unknown {
  const culprit = worst ?? slowest
  diagnose('record-withheld', { task: context.task, topic, partition, position, reason })
  if (!otherwise) {
    context.expire()
    return undefined
  }
  // Names that start with ~ are told anew with every record that is written.
  const own = Object.entries(headers).filter(([name]) => !name.startsWith('~'))
  return {
    topic: otherwise.name,
    key,
    value,
    eventTime,
    headers: {
      ...Object.fromEntries(own),
      [withheldHeaders.reason]: reason,
      ...(culprit && { [withheldHeaders.culprit]: `${culprit.stage}: ${culprit.cause}` })
    }
  }
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`
const percent = (share: number): string => `${(share * 100).toFixed(1)} %`

function refused(what: string, value: unknown): StreamError {
  return new StreamError('bad-config', `when: ${what}, got ${JSON.stringify(value)}`)
}
