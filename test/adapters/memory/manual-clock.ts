import type { Environment } from '../../../src/core/environment.ts'

/** Time that moves only when the test says so. */
export interface ManualClock extends Environment {
  /** Runs the timers that are due, in order. */
  advance(milliseconds: number): void
}

export function manualClock(): ManualClock {
  let now = 0
  const timers = new Set<{ readonly at: number; readonly task: () => void }>()
  return {
    now: () => 1_700_000_000_000 + now,
    monotonic: () => now,
    random: () => 0.5,
    timer(delay, task) {
      const timer = { at: now + delay, task }
      timers.add(timer)
      return { cancel: () => void timers.delete(timer) }
    },
    turn: () => new Promise(resolve => setImmediate(resolve)),
    advance(milliseconds) {
      const end = now + milliseconds
      for (;;) {
        const due = [...timers].filter(timer => timer.at <= end).toSorted((left, right) => left.at - right.at)[0]
        if (!due) break
        timers.delete(due)
        now = Math.max(now, due.at)
        due.task()
      }
      now = end
    }
  }
}
