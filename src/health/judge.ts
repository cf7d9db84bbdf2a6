/** What a task is in the middle of. */
export interface Work {
  /** As in "for 70 s it has been ...": `handling a record`, `committing`. */
  readonly doing: string
  /**
   * Whose time it is: that of the user's code, that of a destination which the user's code writes to (and which may be down for
   * long, with attempts and a circuit before it), or that of a store or broker of ours.
   */
  readonly by: 'handler' | 'destination' | 'outside'
  readonly topic?: string
  readonly partition?: number
  readonly position?: string
}

export interface Failure {
  /** Of the first of an unbroken row. */
  readonly since: number
  readonly error: unknown
  /** A broker or a store that does not answer: nothing of this task is wrong. */
  readonly unreachable: boolean
}

/** What a look at one task sees. Times are of one clock that never goes back, ms. */
export interface Signs {
  /** Grows with each commit and with whatever else is got done. */
  readonly progress: number
  /** Records are there for it, as far as is known. */
  readonly waiting: boolean
  /** It has done something that is not committed, or it has not come up yet. */
  readonly owing: boolean
  /** The oldest thing that is under way. */
  readonly oldest: { readonly work: Work; readonly since: number } | undefined
  readonly failure: Failure | undefined
}

export interface Limits {
  /** So long without progress while there is work is a stall; so long in one handler is a hang, ms. */
  readonly stalledAfter: number
  /** So long without an answer of a broker or store makes a process unready, ms. */
  readonly unreachableAfter: number
}

/**
 * - `hung`: the user's code has not come back
 * - `stalled`: there is work, nothing is under way, and nothing happens
 * - `failing`: each attempt fails
 * - `unreachable`: a broker or a store does not answer, and is tried again
 * - `failed`: the run has ended with an error
 */
export type Ailing = 'hung' | 'stalled' | 'failing' | 'unreachable' | 'failed'

/** What is wrong with a task. */
export interface Verdict {
  readonly cause: Ailing
  readonly since: number
  readonly work?: Work
  readonly error?: unknown
}

/** What is remembered from one look to the next. */
export interface Watched {
  readonly progress: number
  /** Since when there has been work and no progress. */
  readonly idleSince: number | undefined
}

/**
 * The judgement of one look, pure. Without work there is no verdict, however long nothing happens; with progress there is
 * none but of a handler that hangs beside those that get on, and of what cannot be reached.
 */
export function judge(
  before: Watched | undefined,
  signs: Signs,
  now: number,
  limits: Limits
): [Watched, Verdict | undefined] {
  const { progress, waiting, owing, oldest, failure } = signs
  const gotOn = before === undefined || before.progress !== progress
  const hasWork = waiting || owing || oldest !== undefined
  const idleSince = !hasWork ? undefined : gotOn ? now : (before.idleSince ?? now)
  return [{ progress, idleSince }, verdictOf()]

  function verdictOf(): Verdict | undefined {
    if (failure?.unreachable && now - failure.since >= limits.unreachableAfter)
      return { cause: 'unreachable', since: failure.since, error: failure.error }
    if (oldest && now - oldest.since >= limits.stalledAfter)
      return { cause: oldest.work.by === 'handler' ? 'hung' : 'unreachable', since: oldest.since, work: oldest.work }
    if (idleSince === undefined || now - idleSince < limits.stalledAfter) return undefined
    if (failure) return { cause: 'failing', since: failure.since, error: failure.error }
    // What is under way, and not for too long, may still do it.
    return oldest ? undefined : { cause: 'stalled', since: idleSince }
  }
}

/** May a new process do better? A broker that is away is away for the next process, too. */
export function mayRestartMend(cause: Ailing): boolean {
  return cause === 'hung' || cause === 'stalled' || cause === 'failed'
}
