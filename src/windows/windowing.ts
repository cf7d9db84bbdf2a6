import { StreamError } from '../core/errors.ts'

/** A span of event time, ms since 1970: from `start`, up to `end` and without it. */
export interface Window {
  readonly start: number
  readonly end: number
}

/** Windows that lie fixed on the time line, the same for all keys. See `tumbling` and `hopping`. */
export interface FixedWindowing {
  readonly kind: 'fixed'
  readonly size: number
  /** From the start of a window to the start of the next. */
  readonly every: number
  /** Windows start at `offset` plus a multiple of `every`. From 0 to `every`. */
  readonly offset: number
}

/** Windows that follow the records of a key. See `session`. */
export interface SessionWindowing {
  readonly kind: 'session'
  readonly gap: number
}

export type Windowing = FixedWindowing | SessionWindowing

export interface TumblingOptions {
  /**
   * Windows start at a multiple of their size from here, ms; it may be below 0. Default 0: from 1970-01-01, 00:00 UTC, a
   * Thursday. Days of a zone two hours ahead of UTC start at `offset: -2 * HOUR`, weeks that begin on Monday at `4 * DAY`.
   */
  readonly offset?: number
}

export interface HoppingOptions extends TumblingOptions {
  /** From the start of a window to the start of the next, ms; at most their size, so that none is left out. */
  readonly every: number
}

/**
 * Windows of one size, one behind the other: each record is in one.
 *
 * @param size ms
 * @example
 * aggregate({ window: tumbling(HOUR), … })
 */
export function tumbling(size: number, { offset = 0 }: TumblingOptions = {}): FixedWindowing {
  return fixed('tumbling', size, size, offset)
}

/**
 * Windows of one size that overlap: each record is in `size / every` of them, and costs as many calls of `add`. Also known
 * as sliding windows.
 *
 * @param size ms
 * @example
 * aggregate({ window: hopping(HOUR, { every: 5 * MINUTE }), … })
 */
export function hopping(size: number, { every, offset = 0 }: HoppingOptions): FixedWindowing {
  return fixed('hopping', size, every, offset)
}

/**
 * One window per key and spell of activity: it ends `gap` after its last record. Two records that are less than `gap` apart
 * are in one session, whoever comes first; a record between two sessions makes them one.
 *
 * @param gap ms
 */
export function session(gap: number): SessionWindowing {
  assertWhole('session: gap', gap, 1)
  return { kind: 'session', gap }
}

function fixed(kind: string, size: number, every: number, offset: number): FixedWindowing {
  assertWhole(`${kind}: size`, size, 1)
  assertWhole(`${kind}: every`, every, 1)
  assertWhole(`${kind}: offset`, offset, -Number.MAX_SAFE_INTEGER)
  if (every > size)
    throw new StreamError(
      'bad-config',
      `${kind}: every ${every} ms a window of ${size} ms leaves records between the windows: make size the larger one`
    )
  return { kind: 'fixed', size, every, offset: modulo(offset, every) }
}

/** Throws `bad-config`. */
export function assertWhole(what: string, value: unknown, least: number): void {
  if (Number.isSafeInteger(value) && (value as number) >= least) return
  const range = least >= 0 ? `, ${least} or more` : ''
  throw new StreamError('bad-config', `${what} must be whole milliseconds${range}, got ${String(value)}`)
}

/** The last of the times `offset + n * step` that is not after `time`. */
export function floorTo(time: number, step: number, offset: number): number {
  return time - modulo(time - offset, step)
}

function modulo(value: number, divisor: number): number {
  const rest = value % divisor
  return rest < 0 ? rest + divisor : rest
}
