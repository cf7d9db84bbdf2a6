import type { Vitals } from './vitals.ts'

/** Reports may be late by this many intervals, and by this long, before they are overdue. */
const missedBeats = 3
const leastPatience = 3_000

/** How long is waited for the next report of a task that reports every so many ms. */
export const patience = (every: number): number => Math.max(leastPatience, missedBeats * every)

/** A report that says how often it comes, and has not come for longer. One that has ended owes no more. */
export function isOverdue(report: Vitals, heardAt: number, monotonic: number): boolean {
  if (report.state === 'closing' || report.state === 'left' || !report.health) return false
  return monotonic - heardAt > patience(report.health.every)
}

/** `pipeline/stage/partition` -> `pipeline/stage`; a plain producer stands for itself. */
export const stageOf = (task: string): string => task.split('/').slice(0, 2).join('/')
