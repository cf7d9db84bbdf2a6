import { StreamError } from '../core/errors.ts'
import type { Position } from '../core/record.ts'
import type { StartAt } from '../spec/index.ts'

/** Records that are left out: from one position to another, both included, or of event times from `since` until before `until`. */
export type Skip =
  | { readonly first: Position; readonly last: Position }
  | { readonly since: number; readonly until: number }

/** What is read again without a word, because what it writes has been written before: a replay has said so. */
export interface QuietSpan {
  /** Topic -> the last position of it. */
  readonly until: Readonly<Record<string, Position>>
  /** Topic -> records of it that had not been done. */
  readonly but: Readonly<Record<string, readonly Position[]>>
  /** What is due in event time up to here. */
  readonly watermark: number | 'end' | null
}

/** The head of a commit: where the task stands. Small, so it is written whole each time and the last one is enough. */
export interface Head {
  /** Topic -> position last processed. */
  readonly positions: Readonly<Record<string, Position>>
  /** Topic -> where it begins, as long as it has no position: a replay has said so. */
  readonly starts?: Readonly<Record<string, StartAt>>
  /** Topic -> what is parked instead of processed: a replay has said so. */
  readonly skips?: Readonly<Record<string, readonly Skip[]>>
  readonly quiet?: QuietSpan
  /** Topic -> snapshot of its partition tracker (dedupe marks and watermark). */
  readonly trackers: Readonly<Record<string, unknown>>
  /** Topic -> partition -> last sequence given out. */
  readonly sequences: Readonly<Record<string, Readonly<Record<string, number>>>>
  /** What the task has promised for its outputs, ms, or `null` (nothing yet), or `'end'`. */
  readonly watermark: number | 'end' | null
  readonly counts: Readonly<Record<string, number>>
  /** Records by spans of event time: what became of those read, and how many were sent, by topic. */
  readonly tallies?: {
    readonly read: Readonly<Record<string, unknown>>
    readonly sent: Readonly<Record<string, unknown>>
  }
  /** Intervals of event time with records that are not over: start -> records, parked ones. */
  readonly intervals?: Readonly<Record<string, readonly [number, number]>>
  /** Of a source: what the last committed entry carried. */
  readonly cursor?: unknown
  /** Of a source: the largest event time seen. */
  readonly newest?: number
  /** Of a source: the split has ended. */
  readonly finished?: boolean
}

const version = 1

export function encodeHead(head: Head): Buffer {
  return Buffer.from(JSON.stringify({ v: version, ...head }))
}

/** Throws `corrupt`. */
export function decodeHead(bytes: Uint8Array, task: string): Head {
  try {
    const raw = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'))
    if (raw.v !== version) throw new Error(`version ${String(raw.v)}`)
    for (const name of ['positions', 'trackers', 'sequences', 'counts'])
      if (typeof raw[name] !== 'object' || raw[name] === null) throw new Error(`no ${name}`)
    if (!Object.values(raw.positions).every(position => typeof position === 'string')) throw new Error('a position')
    return raw as Head
  } catch (error) {
    throw new StreamError(
      'corrupt',
      `the last commit of task '${task}' does not parse as version ${version}; was it written by a newer release?`,
      { cause: error }
    )
  }
}
