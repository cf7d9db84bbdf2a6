/** `error`: it cannot run, or a guarantee is broken. `warning`: it holds only as long as something does not happen. */
export type Severity = 'error' | 'warning' | 'ok'

/** One thing that was looked at. */
export interface Finding {
  readonly severity: Severity
  /** Path: `broker 'default'`, `topic 'trades' on 'default'`, `store`. */
  readonly where: string
  readonly what: string
  /** What to change. Absent for `ok`. */
  readonly fix?: string
}

export const ok = (where: string, what: string): Finding => ({ severity: 'ok', where, what })

export const bad = (where: string, what: string, fix: string): Finding => ({ severity: 'error', where, what, fix })

export const doubtful = (where: string, what: string, fix: string): Finding => ({
  severity: 'warning',
  where,
  what,
  fix
})
