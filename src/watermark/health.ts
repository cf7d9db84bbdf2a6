import type { TopicMembership } from './membership.ts'
import type { PartitionTracker } from './partition-tracker.ts'
import { isOverdue, patience, stageOf } from './overdue.ts'
import { findTroubles, slowAfter, type Finding, type Signs, type Trouble } from './troubles.ts'
import type { Vitals } from './vitals.ts'

/**
 * Why a task holds a watermark back. `failing`: it is trying a record again. `slow`: records wait for it. `silent`: its reports
 * are overdue, it is dead or cut off. `cut-off`: it lives, and its broker does not answer it. `quiet`: it lives and has nothing
 * newer: the data itself is late.
 */
export type Cause = 'failing' | 'slow' | 'silent' | 'cut-off' | 'quiet'

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
  /** Which share of what it read or sent was late lately, of its worst task, 0 to 1. */
  readonly lateRate?: number
  /** How far ahead of the clock of whoever tells this its clock is, ms; of its worst task. Absent while unknown. */
  readonly ahead?: number
}

/** What a task says of itself and of everything above it. Goes with its vitals, so it travels as far as the watermark. */
export interface Health {
  /** When it was said, ms since the epoch. */
  readonly at: number
  /** Reports come as often as this, ms. */
  readonly every: number
  readonly pending: number
  readonly failureRate: number
  /** Which share of what it read or sent was late lately, 0 to 1. */
  readonly lateRate?: number
  /** Its watermark, and so each below it, rests on a guess about foreign producers, here or above. Absent while it does not. */
  readonly heuristic?: true
  /** Its watermark is what its producers have reported, and nobody stands in the way. */
  readonly heldBy?: Holder
  /** `pipeline/stage` -> that stage: all that are above this one. */
  readonly upstream: Readonly<Record<string, StageHealth>>
  /** What is wrong with it and with the stages above it, the worst first. */
  readonly troubles?: readonly Trouble[]
}

/** What a task knows of itself; the publisher adds the time. */
export type ReportedHealth = Omit<Health, 'at' | 'every'>

/** Most stages above one that are told of: a bound, far above any pipeline. */
export const mostStages = 256

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
  /** The watermark rests on a guess, here or above. */
  readonly heuristic: boolean
  readonly heldBy: Holder | undefined
  readonly upstream: Readonly<Record<string, StageHealth>>
  readonly troubles: readonly Finding[]
}

/**
 * What a task concludes from the reports of its producers: who holds its watermark back, and how every stage above it does.
 * The holder is found hop by hop: each producer says who holds *it*, so the one at the far end is named by its own reader and
 * passed on. Pure.
 *
 * @param reports last report of each task
 * @param failingSince since when this task has been trying a record again, ms since the epoch
 * @param signs what else it notices of itself
 */
export function diagnoseInputs(
  task: string,
  inputs: readonly HealthInput[],
  reports: ReadonlyMap<string, Vitals>,
  failingSince: number | undefined,
  moment: Moment,
  signs: Signs = {}
): Diagnosis {
  const upstream = new Map<string, StageHealth>()
  const clockOf = (task: string): number | undefined => signs.clockOf?.(task)
  let heuristic = inputs.some(({ tracker }) => tracker.heuristic)
  for (const { topic, membership } of inputs)
    for (const member of membership.members.values()) {
      const report = reports.get(member.task)
      if (!report || member.left || !report.outputs.has(topic)) continue
      addStage(upstream, report, isOverdue(report, member.heardAt, moment.monotonic), clockOf(member.task))
      heuristic ||= report.health?.heuristic === true
    }
  const heard = new Set(upstream.keys())
  for (const { membership } of inputs)
    for (const member of membership.members.values())
      for (const [stage, health] of Object.entries(reports.get(member.task)?.health?.upstream ?? {}))
        if (!heard.has(stage)) passOn(upstream, stage, health, clockOf(member.task))
  const all = { ...signs, failingSince }
  const heldBy = holder(task, inputs, reports, all, moment)
  const troubles = findTroubles(task, inputs, reports, upstream, all, moment)
  if (heldBy?.cause === 'quiet' && !troubles.some(({ cause }) => cause === 'quiet'))
    troubles.push({ stage: stageOf(heldBy.task), cause: 'quiet', since: heldBy.since, hops: 0 })
  return { heuristic, heldBy, upstream: Object.fromEntries(upstream), troubles }
}

function holder(
  task: string,
  inputs: readonly HealthInput[],
  reports: ReadonlyMap<string, Vitals>,
  { failingSince, deafSince, unsentSince, wasSlow }: Signs,
  { now, monotonic }: Moment
): Holder | undefined {
  if (failingSince !== undefined) return { task, cause: 'failing', since: failingSince }
  const cutOffSince = deafSince ?? unsentSince
  if (cutOffSince !== undefined) return { task, cause: 'cut-off', since: cutOffSince }
  let lowest: HealthInput | undefined
  for (const input of inputs) if (!lowest || input.tracker.watermark < lowest.tracker.watermark) lowest = input
  if (!lowest || lowest.tracker.watermark === Infinity) return undefined
  const { tracker, membership, partition, waitingSince } = lowest
  const producer = tracker.heldBy()
  const member = producer === undefined ? undefined : membership.members.get(producer)
  if (producer === undefined || !member) return undefined
  if (tracker.waiting(producer, member.last.get(partition) ?? 0) > 0) {
    if (waitingSince === undefined || monotonic - waitingSince < slowAfter(wasSlow)) return undefined
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

function addStage(
  stages: Map<string, StageHealth>,
  { task, health, counts }: Vitals,
  overdue: boolean,
  clock: number | undefined
): void {
  const stage = stageOf(task)
  const known = stages.get(stage)
  if (!known && stages.size >= mostStages) return
  const ahead = farther(known?.ahead, clock)
  stages.set(stage, {
    at: Math.min(known?.at ?? Infinity, health?.at ?? 0),
    tasks: (known?.tasks ?? 0) + 1,
    silent: (known?.silent ?? 0) + (overdue ? 1 : 0),
    pending: (known?.pending ?? 0) + (health?.pending ?? 0),
    failureRate: Math.max(known?.failureRate ?? 0, health?.failureRate ?? 0),
    late: (known?.late ?? 0) + counts.late,
    parked: (known?.parked ?? 0) + counts.parked,
    lateRate: Math.max(known?.lateRate ?? 0, health?.lateRate ?? 0),
    ...(ahead !== undefined && { ahead })
  })
}

/** The clock that is farther off. */
function farther(left: number | undefined, right: number | undefined): number | undefined {
  if (left === undefined || right === undefined) return left ?? right
  return Math.abs(left) >= Math.abs(right) ? left : right
}

/** The same stage comes over several ways: the newest word counts. Its clock is told from that of the teller. */
function passOn(
  stages: Map<string, StageHealth>,
  stage: string,
  { ahead, ...health }: StageHealth,
  clock: number | undefined
): void {
  const known = stages.get(stage)
  if (known ? known.at >= health.at : stages.size >= mostStages) return
  stages.set(stage, { ...health, ...(ahead !== undefined && clock !== undefined && { ahead: ahead + clock }) })
}
