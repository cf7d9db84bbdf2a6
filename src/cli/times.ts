import { UsageError } from './terminal.ts'

/** Milliseconds since the epoch. Throws `UsageError`. */
export function timeOf(option: string, value: string): number {
  const time = Date.parse(value)
  if (Number.isNaN(time)) throw new UsageError(`--${option} '${value}' is no time: give one as 2026-03-01T12:00:00Z`)
  return time
}
