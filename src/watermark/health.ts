import type { TopicMembership } from './membership.ts'
import type { PartitionTracker } from './partition-tracker.ts'
import type { Vitals } from './vitals.ts'

/**
 * Why a task holds a watermark back. `failing`: it is trying a record again. `slow`: records wait for it. `silent`: its reports
 * are overdue, it is dead or cut off. `quiet`: it lives and has nothing newer: the data itself is late.
 */
export type Cause = 'failing' | 'slow' | 'silent' | 'quiet'
export const causes: readonly string[] = ['failing', 'slow', 'silent', 'quiet'] satisfies readonly Cause[]

/** Who holds a watermark back, any number of hops away. */
export interface Holder {
  /** `pipeline/stage/partition`, or the name of a plain producer. */
  readonly task: string
  readonly cause: Cause
  /** Since when it has been so, ms since the epoch by the clock of whoever saw it. */
  readonly since: number
}

/** A stage as somebody downstream knows it: all of its tasks together. */
export interface StageHealth {
  /** The oldest report of its tasks, ms since the epoch by its own clock. */
  readonly at: number
  readonly tasks: number
  /** Tasks whose reports are overdue. */
  readonly silent: number
  /** Records that wait for it. */
  readonly pending: number
  /** Which share of the attempts failed lately, of its worst task, 0 to 1. */
  readonly failureRate: number
  readonly late: number
  readonly parked: number
}

/** What a task says of itself and of everything above it. Goes with its vitals, so it travels as far as the watermark. */
export interface Health {
  /** When it was said, ms since the epoch. */
  readonly at: number
  /** Reports come as often as this, ms. */
  readonly every: number
  readonly pending: number
  readonly failureRate: number
  /** Its watermark is what its producers have reported, and nobody stands in the way. */
  readonly heldBy?: Holder
  /** `pipeline/stage` -> that stage: all that are above this one. */
  readonly upstream: Readonly<Record<string, StageHealth>>
}

/** What a task knows of itself; the publisher adds the time. */
export type ReportedHealth = Omit<Health, 'at' | 'every'>

/** Most stages above one that are told of: a bound, far above any pipeline. */
export const mostStages = 256

/** Reports may be late by this many intervals, and by this long, before they are overdue. */
const missedBeats = 3
const leastPatience = 3_000
/** So long must a record wait for a task before the task is called slow, ms: what is on its way is no backlog. */
const onItsWay = 2_000

/** One input of a task, as the diagnosis needs it. */
export interface HealthInput {
  readonly topic: string
  readonly partition: number
  readonly tracker: PartitionTracker
  readonly membership: TopicMembership
  /** Since when records wait here, monotonic ms. */
  readonly waitingSince: number | undefined
}

/** How the clocks of this process read at one moment. */
export interface Moment {
  readonly now: number
  readonly monotonic: number
}

export interface Diagnosis {
  readonly heldBy: Holder | undefined
  readonly upstream: Readonly<Record<string, StageHealth>>
}

/**
 * What a task concludes from the reports of its producers: who holds its watermark back, and how every stage above it does.
 * The holder is found hop by hop: each producer says who holds *it*, so the one at the far end is named by its own reader and
 * passed on. Pure.
 *
 * @param reports last report of each task
 * @param failingSince since when this task has been trying a record again, ms since the epoch
 */
export function diagnoseInputs(
  task: string,
  inputs: readonly HealthInput[],
  reports: ReadonlyMap<string, Vitals>,
  failingSince: number | undefined,
  moment: Moment
): Diagnosis {
  const upstream = new Map<string, StageHealth>()
  for (const { topic, membership } of inputs)
    for (const member of membership.members.values()) {
      const report = reports.get(member.task)
      if (report && !member.left && report.outputs.has(topic))
        addStage(upstream, report, isOverdue(report, member.heardAt, moment.monotonic))
    }
  const heard = new Set(upstream.keys())
  for (const { membership } of inputs)
    for (const member of membership.members.values())
      for (const [stage, health] of Object.entries(reports.get(member.task)?.health?.upstream ?? {}))
        if (!heard.has(stage)) passOn(upstream, stage, health)
  return { heldBy: holder(task, inputs, reports, failingSince, moment), upstream: Object.fromEntries(upstream) }
}

function holder(
  task: string,
  inputs: readonly HealthInput[],
  reports: ReadonlyMap<string, Vitals>,
  failingSince: number | undefined,
  { now, monotonic }: Moment
): Holder | undefined {
  if (failingSince !== undefined) return { task, cause: 'failing', since: failingSince }
  let lowest: HealthInput | undefined
  for (const input of inputs) if (!lowest || input.tracker.watermark < lowest.tracker.watermark) lowest = input
  if (!lowest || lowest.tracker.watermark === Infinity) return undefined
  const { tracker, membership, partition, waitingSince } = lowest
  const producer = tracker.heldBy()
  const member = producer === undefined ? undefined : membership.members.get(producer)
  if (producer === undefined || !member) return undefined
  if (tracker.waiting(producer, member.last.get(partition) ?? 0) > 0) {
    if (waitingSince === undefined || monotonic - waitingSince < onItsWay) return undefined
    return { task, cause: 'slow', since: now - (monotonic - waitingSince) }
  }
  const report = reports.get(member.task)
  const wall = (at: number): number => Math.round(now - (monotonic - at))
  if (report && isOverdue(report, member.heardAt, monotonic))
    return { task: member.task, cause: 'silent', since: wall(member.heardAt) }
  if (report?.health?.heldBy) return report.health.heldBy
  // Below other tasks it is they who are quiet, and they say so. A source has nobody above it.
  if (report && !isSource(report)) return undefined
  if (monotonic - member.since < patience(report?.health?.every ?? 0)) return undefined
  return { task: member.task, cause: 'quiet', since: wall(member.since) }
}

// A source and a plain producer have nothing above them.
const isSource = ({ health }: Vitals): boolean => health === undefined || Object.keys(health.upstream).length === 0

/** A report that says how often it comes, and has not come for longer. One that has ended owes no more. */
export function isOverdue(report: Vitals, heardAt: number, monotonic: number): boolean {
  if (report.state === 'closing' || report.state === 'left' || !report.health) return false
  return monotonic - heardAt > patience(report.health.every)
}

const patience = (every: number): number => Math.max(leastPatience, missedBeats * every)

/** `pipeline/stage/partition` -> `pipeline/stage`; a plain producer stands for itself. */
export const stageOf = (task: string): string => task.split('/').slice(0, 2).join('/')

function addStage(stages: Map<string, StageHealth>, { task, health, counts }: Vitals, overdue: boolean): void {
  const stage = stageOf(task)
  const known = stages.get(stage)
  if (!known && stages.size >= mostStages) return
  stages.set(stage, {
    at: Math.min(known?.at ?? Infinity, health?.at ?? 0),
    tasks: (known?.tasks ?? 0) + 1,
    silent: (known?.silent ?? 0) + (overdue ? 1 : 0),
    pending: (known?.pending ?? 0) + (health?.pending ?? 0),
    failureRate: Math.max(known?.failureRate ?? 0, health?.failureRate ?? 0),
    late: (known?.late ?? 0) + counts.late,
    parked: (known?.parked ?? 0) + counts.parked
  })
}

/** The same stage comes over several ways: the newest word counts. */
function passOn(stages: Map<string, StageHealth>, stage: string, health: StageHealth): void {
  const known = stages.get(stage)
  if (known ? known.at >= health.at : stages.size >= mostStages) return
  stages.set(stage, health)
}

/**
 * `undefined` for what is none that this release reads: watermarks do not depend on it. It comes from a broker, and anybody may
 * write there.
 */
export function decodeHealth(raw: unknown): Health | undefined {
  try {
    return healthOf(raw)
  } catch {
    return undefined
  }
}

function healthOf(raw: any): Health {
  const upstream: [string, StageHealth][] = Object.entries<any>(raw.upstream ?? {}).map(([stage, health]) => [
    name(stage),
    {
      at: number(health.at),
      tasks: number(health.tasks),
      silent: number(health.silent),
      pending: number(health.pending),
      failureRate: number(health.failureRate),
      late: number(health.late),
      parked: number(health.parked)
    }
  ])
  if (upstream.length > mostStages) throw new Error(`${upstream.length} stages`)
  return {
    at: number(raw.at),
    every: number(raw.every),
    pending: number(raw.pending),
    failureRate: number(raw.failureRate),
    ...(raw.heldBy && {
      heldBy: { task: name(raw.heldBy.task), cause: cause(raw.heldBy.cause), since: number(raw.heldBy.since) }
    }),
    upstream: Object.fromEntries(upstream)
  }
}

function number(value: unknown): number {
  if (typeof value === 'number' && value >= 0) return value
  throw new Error(`number ${String(value)}`)
}

function name(value: unknown): string {
  if (typeof value === 'string' && value.length > 0 && value.length <= 1_000 && value !== '__proto__') return value
  throw new Error('a name')
}

function cause(value: unknown): Cause {
  if (causes.includes(value as string)) return value as Cause
  throw new Error(`cause ${String(value)}`)
}
