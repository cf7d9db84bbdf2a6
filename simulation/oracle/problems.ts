/** What a run must never show; the names follow `jepsen.tests.kafka` where it has one. */
export type ProblemKind =
  | 'lost-write'
  | 'duplicate'
  | 'aborted-read'
  | 'torn-commit'
  | 'wrong-state'
  | 'nonmonotonic-watermark'
  | 'broken-promise'
  | 'inconsistent-offset'
  | 'false-late'
  | 'early-timer'
  | 'incomplete-window'
  | 'wrong-count'
  | 'unseen'
  | 'failed'
  | 'unbounded'

export interface Problem {
  readonly kind: ProblemKind
  readonly detail: string
}

export class Problems {
  readonly found: Problem[] = []

  add(kind: ProblemKind, detail: string): void {
    // One is enough to fail, and a broken run may have thousands.
    if (this.found.length < 50) this.found.push({ kind, detail })
  }
}
