import { StreamError } from './errors.ts'

/** Milliseconds, or a number with its unit: `'250ms'`, `'5s'`, `'2m'`, `'1h'`, `'7d'`. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/**
 * In milliseconds. Throws `bad-config`.
 *
 * @param what for the message
 */
export function millisecondsOf(what: string, duration: Duration): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(String(duration)) ?? []
  const value = typeof duration === 'number' ? duration : unit === undefined ? NaN : Number(digits) * units[unit]!
  if (value >= 0) return value
  throw new StreamError(
    'bad-config',
    `${what} must be milliseconds, or a number with ms, s, m, h or d such as '5s', got ${JSON.stringify(duration)}`
  )
}
