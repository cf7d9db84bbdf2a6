import type { Cause, HealthInput, Moment, StageHealth } from './health.ts'
import { isOverdue, stageOf } from './overdue.ts'
import type { Vitals } from './vitals.ts'

/**
 * What ails a stage: what holds a watermark back (`Cause`), and what does not. `late`: it sends records behind its own promise, and
 * has not read any. `skewed`: its clock is not that of the others.
 */
export type Ailment = Cause | 'late' | 'skewed'

/** The worst first: what comes behind may be a consequence of what comes before. */
export const ailments: readonly Ailment[] = ['silent', 'cut-off', 'skewed', 'failing', 'slow', 'late', 'quiet']

/** What is wrong with a stage, whether or not it holds a watermark back. It is told by its own tasks, or by who reads from it. */
export interface Trouble {
  /** `pipeline/stage`, or the name of a plain producer. */
  readonly stage: string
  readonly cause: Ailment
  /** Since when, ms since the epoch by the clock of whoever saw it. */
  readonly since: number
  /** `failing`, `late`: which share of the records lately. */
  readonly share?: number
  /** `skewed`: how far ahead of the others its clock is, ms. */
  readonly ahead?: number
  /** How many stages have passed it on. */
  readonly hops: number
}

/** What is found, before it is known since when. */
export type Finding = Omit<Trouble, 'since'> & { readonly since?: number | undefined }

/** Less than this share of failed or late records is no trouble. */
export const tellingShare = 0.01
/** A clock may be off by this much before anybody says so, ms: reports take time, and clocks are never quite the same. */
export const tolerableSkew = 5_000
/** Most that one task tells of: far above any pipeline. */
export const mostTroubles = 64
/** Trouble that has gone round a loop of topics ends here. */
export const mostHops = 64
/** One attempt that fails is not yet trouble: a record that has been failing for this long is, ms. */
const failingFor = 1_000
/** So long must a record wait for a task before the task is called slow, ms: what is on its way is no backlog. */
const onItsWay = 2_000

/** Who was slow is so until nothing has been waiting for this long, ms: what is near the limit would come and go. */
const stillSlow = 1_000

/** What a task notices of itself. */
export interface Signs {
  /** It was slow at the last look. */
  readonly wasSlow?: boolean
  /** Since when it has been trying one record again, ms since the epoch. */
  readonly failingSince?: number | undefined
  /** Shares of its attempts that failed, of what it read that was late, and of what it sent. */
  readonly failureRate?: number
  readonly lateIn?: number
  readonly lateOut?: number
  /** Since when its broker has not answered, ms since the epoch: silence of others means nothing then. */
  readonly deafSince?: number | undefined
  /** Since when the broker of its outputs has not taken any, ms since the epoch. */
  readonly unsentSince?: number | undefined
  /** How far ahead of ours the clock of a task is, ms; `undefined` while unknown. */
  clockOf?(task: string): number | undefined
}

/** For how long a record must wait, ms. */
export const slowAfter = (wasSlow: boolean | undefined): number => (wasSlow ? stillSlow : onItsWay)

/** What a task knows to be wrong: with itself, with its producers, and what these have told of all above them. Pure. */
export function findTroubles(
  task: string,
  inputs: readonly HealthInput[],
  reports: ReadonlyMap<string, Vitals>,
  upstream: ReadonlyMap<string, StageHealth>,
  signs: Signs,
  moment: Moment
): Finding[] {
  const stage = stageOf(task)
  const found = new Map<string, Finding>()
  const add = (finding: Finding): void => {
    const key = `${finding.cause} ${finding.stage}`
    const known = found.get(key)
    if (known ? known.hops > finding.hops : found.size < mostTroubles) found.set(key, finding)
  }
  for (const finding of ownTroubles(stage, inputs, signs, moment)) add(finding)
  for (const { membership } of inputs)
    for (const member of membership.members.values()) {
      const report = reports.get(member.task)
      if (!report || member.left) continue
      if (isOverdue(report, member.heardAt, moment.monotonic)) {
        if (signs.deafSince !== undefined) continue
        const since = Math.round(moment.now - (moment.monotonic - member.heardAt))
        add({ stage: stageOf(report.task), cause: 'silent', since, hops: 1 })
        continue // what it said of others is old
      }
      for (const trouble of report.health?.troubles ?? [])
        if (trouble.hops < mostHops && trouble.stage !== stage) add({ ...trouble, hops: trouble.hops + 1 })
    }
  for (const finding of skewed(stage, upstream)) add(finding)
  return [...found.values()]
}

function ownTroubles(
  stage: string,
  inputs: readonly HealthInput[],
  { failingSince, failureRate = 0, lateIn = 0, lateOut = 0, deafSince, unsentSince, wasSlow }: Signs,
  { now, monotonic }: Moment
): Finding[] {
  const found: Finding[] = []
  const cutOffSince = deafSince ?? unsentSince
  if (cutOffSince !== undefined) found.push({ stage, cause: 'cut-off', since: cutOffSince, hops: 0 })
  if (failureRate >= tellingShare || (failingSince !== undefined && now - failingSince >= failingFor))
    found.push({ stage, cause: 'failing', since: failingSince, share: failureRate, hops: 0 })
  const waiting = Math.max(0, ...inputs.map(({ waitingSince = monotonic }) => monotonic - waitingSince))
  if (waiting >= slowAfter(wasSlow)) found.push({ stage, cause: 'slow', since: Math.round(now - waiting), hops: 0 })
  // What comes in late goes out late: that is not its own doing.
  if (lateOut >= tellingShare && lateIn < tellingShare) found.push({ stage, cause: 'late', share: lateOut, hops: 0 })
  return found
}

/**
 * Whose clock differs from those of most others. With two clocks nobody can know which one is wrong, so it takes three.
 *
 * @param upstream their clocks, from ours
 */
export function skewed(stage: string | undefined, upstream: ReadonlyMap<string, StageHealth>): Finding[] {
  const clocks: [stage: string | undefined, ahead: number][] = [[stage, 0]]
  for (const [each, { ahead }] of upstream) if (ahead !== undefined) clocks.push([each, ahead])
  if (clocks.length < 3) return []
  const sorted = clocks.map(([, ahead]) => ahead).sort((left, right) => left - right)
  // Of an even number the one nearer to ours: a tie must accuse nobody who agrees with us.
  const [low, high] = [sorted[(sorted.length - 1) >> 1]!, sorted[sorted.length >> 1]!]
  const middle = Math.abs(low) <= Math.abs(high) ? low : high
  return clocks.flatMap(([each, ahead]) =>
    each !== undefined && Math.abs(ahead - middle) > tolerableSkew
      ? [{ stage: each, cause: 'skewed' as const, ahead: Math.round(ahead - middle), hops: 0 }]
      : []
  )
}

/** Remembers since when each trouble is there; those that end are forgotten. */
export class TroubleBook {
  #since = new Map<string, number>()

  /** The worst first. */
  note(found: readonly Finding[], now: number): Trouble[] {
    const since = new Map<string, number>()
    const troubles = found.map((finding): Trouble => {
      const key = `${finding.cause} ${finding.stage}`
      const began = Math.round(finding.since ?? this.#since.get(key) ?? now)
      since.set(key, began)
      return { ...finding, since: began }
    })
    this.#since = since
    return troubles.sort(
      (left, right) => ailments.indexOf(left.cause) - ailments.indexOf(right.cause) || left.since - right.since
    )
  }
}
