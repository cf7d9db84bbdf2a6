import { DatabaseSync } from 'node:sqlite'
import type { Worst } from './pipeline.ts'
import { recount, type Tables } from './recount.ts'

export interface Verdict {
  readonly ok: boolean
  /** The closing line. */
  readonly line: string
  /** What differs, at most a few rows of each table. */
  readonly differences: readonly string[]
}

/** Compares the tables with a recount of the file, row by row. */
export function verify(database: string, limit: number): Verdict {
  const found = readTables(database)
  const expected = recount(limit)
  const differences: string[] = []
  let lost = 0
  let duplicated = 0
  for (const table of ['hours', 'late', 'worst'] as const) {
    const surplus = new Map<string, number>()
    for (const row of found[table]) surplus.set(row, (surplus.get(row) ?? 0) + 1)
    const missing = expected[table].filter(row => {
      const left = surplus.get(row) ?? 0
      surplus.set(row, left - 1)
      return left < 1
    })
    const extra = [...surplus].flatMap(([row, times]) => Array.from({ length: Math.max(times, 0) }, () => row))
    // A row with wrong numbers is both: the right one is lost, and there is one too many.
    lost += missing.length
    duplicated += extra.length
    for (const row of missing.slice(0, 5)) differences.push(`${table} - ${row}`)
    for (const row of extra.slice(0, 5)) differences.push(`${table} + ${row}`)
  }
  const rows = found.hours.length + found.worst.length
  const counts = `${limit} in, ${rows} out, ${lost} lost, ${duplicated} duplicated, ${found.late.length} late`
  const ok = lost === 0 && duplicated === 0
  return { ok, line: `${ok ? 'verified' : 'NOT verified'}: ${counts}`, differences }
}

/** The worst weeks of all, worst first. */
export function worstWeeks(database: string, most: number): Worst[] {
  return query(database, `SELECT * FROM worst ORDER BY meanDelay DESC, airport LIMIT ${most}`) as unknown as Worst[]
}

function readTables(database: string): Tables {
  const rows = (sql: string): string[] => query(database, sql).map(row => Object.values(row).join(' '))
  return {
    hours: rows('SELECT airport, hour, departures, delay FROM hours'),
    late: rows('SELECT scheduled, delay, distance, origin, destination FROM late'),
    worst: rows('SELECT week, place, airport, departures, meanDelay FROM worst')
  }
}

function query(file: string, sql: string): Record<string, unknown>[] {
  const database = new DatabaseSync(file, { readOnly: true })
  try {
    return database.prepare(sql).all()
  } finally {
    database.close()
  }
}
