import type { StateDefinitions } from './keyed.ts'
import { markSlot, RecordMarks } from './marks.ts'
import type { StateRow } from './row.ts'
import { TaskState } from './task-state.ts'
import { TimerQueue, timerSlot } from './timers.ts'

/** Everything of a task that is committed as rows: its state, its timers, and the marks of what is processed. */
export class TaskRows {
  readonly state: TaskState
  readonly timers: TimerQueue = new TimerQueue()
  readonly marks: RecordMarks = new RecordMarks()

  /** @param now wall clock */
  constructor(definitions: StateDefinitions, now?: () => number) {
    this.state = new TaskState(definitions, now)
  }

  /** @param now monotonic ms */
  load(rows: Iterable<StateRow>, now: number): void {
    for (const row of rows) {
      if (row.slot === timerSlot) this.timers.load(row)
      else if (row.slot === markSlot) this.marks.load(row, now)
      else this.state.load(row)
    }
  }

  /** What the next commit has to write. */
  changes(now: number): StateRow[] {
    return [...this.state.changes(), ...this.timers.changes(), ...this.marks.changes(now)]
  }

  committed(): void {
    this.state.committed()
    this.timers.committed()
    this.marks.committed()
    this.state.evict()
  }
}
