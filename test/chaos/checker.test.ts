import { describe, expect, it } from 'vitest'
import { check, type Evidence } from '../../chaos/checker.ts'
import { amountOf, expectedLines, type Line } from '../../chaos/job.ts'
import type { Anomaly } from '../../src/testing/index.ts'

const entries = 40
const rows = [...expectedLines(entries).values()]
const state = new Map(rows.map(({ account, line, balance }) => [account, { line, balance }]))
const good: Evidence = {
  entries,
  loaded: { lines: rows, totals: rows },
  topics: { lines: rows, echoes: rows, totals: rows },
  onceForAll: true,
  ordered: true,
  state
}

const at = (index: number, change: Partial<Line>): Line[] =>
  rows.map((row, other) => (other === index ? { ...row, ...change } : row))
const without = (index: number): Line[] => rows.filter((_, other) => other !== index)

/** What must be found when something is wrong, and nothing else. */
const planted: [what: string, evidence: Evidence, found: Anomaly[]][] = [
  ['a line that is not at the destination', { ...good, loaded: { ...good.loaded, lines: without(7) } }, ['lost-write']],
  [
    'a line that is nowhere',
    { ...good, topics: { lines: without(7), echoes: without(7), totals: without(7) } },
    ['lost-write', 'lost-write', 'lost-write']
  ],
  ['the last line missing', { ...good, loaded: { ...good.loaded, totals: without(79) } }, ['lost-write']],
  ['a row twice', { ...good, loaded: { ...good.loaded, lines: [...rows, rows[3]!] } }, ['duplicate']],
  [
    'a record twice, promised once',
    { ...good, topics: { ...good.topics, echoes: [...rows, rows[3]!] } },
    ['duplicate']
  ],
  ['a torn commit', { ...good, topics: { ...good.topics, echoes: without(5) } }, ['lost-write', 'torn-commit']],
  [
    'a balance of a forked history',
    { ...good, loaded: { ...good.loaded, lines: at(9, { balance: 1 }) } },
    ['aborted-read']
  ],
  ['a line number twice', { ...good, loaded: { ...good.loaded, totals: at(30, { line: 1 }) } }, ['aborted-read']],
  [
    'a move that nobody made',
    { ...good, topics: { ...good.topics, totals: [...rows, { ...rows[0]!, id: 9_999 }] } },
    ['aborted-read', 'nonmonotonic-poll']
  ],
  [
    'lines out of order',
    { ...good, topics: { ...good.topics, lines: [rows[10]!, ...without(10)] } },
    ['nonmonotonic-poll']
  ],
  [
    'state that is behind',
    { ...good, state: new Map(state).set('account-0-0', { line: 1, balance: 1 }) },
    ['wrong-state']
  ],
  ['state of nobody', { ...good, state: new Map(state).set('account-9-9', { line: 1, balance: 1 }) }, ['wrong-state']]
]

describe('the count of a chaos run', () => {
  it('finds nothing where nothing is wrong', () => {
    expect(check(good)).toEqual({ found: [], repeats: 0, records: 80 })
  })

  it('counts repeats of a relay, and takes them for none of a destination', () => {
    const topics = { ...good.topics, lines: [...rows, ...rows.slice(20, 30)] }
    expect(check({ ...good, onceForAll: false, topics })).toEqual({ found: [], repeats: 10, records: 80 })
  })

  /** The moves of an account in another order than they were made, as a queue may bring them. */
  const queued = ((): Evidence => {
    const seen = new Map<string, Line>()
    const lines = rows.toReversed().map(({ id, account }) => {
      const { line, balance } = seen.get(account) ?? { line: 0, balance: 0 }
      const next = { id, account, line: line + 1, balance: balance + amountOf(id) }
      seen.set(account, next)
      return next
    })
    // Two of one account have changed places on the way to the next hop.
    const [last, ...others] = lines.filter(({ account }) => account === 'account-0-0').toReversed()
    const swap = others[0]!
    const totals = lines.map(row =>
      row === last ? { ...row, line: swap.line } : row === swap ? { ...row, line: last!.line } : row
    )
    return { ...good, ordered: false, loaded: { lines, totals }, topics: { lines, echoes: lines, totals } }
  })()

  it('takes any order for good where the broker keeps none, as long as it is one', () => {
    expect(check(queued)).toEqual({ found: [], repeats: 0, records: 80 })
    const wrong = (change: (rows: Line[]) => Line[]): Anomaly[] => {
      const lines = change([...queued.loaded.lines])
      return check({ ...queued, loaded: { ...queued.loaded, lines } }).found.map(({ anomaly }) => anomaly)
    }
    expect(wrong(all => all.slice(1))).toContain('lost-write')
    expect(wrong(all => [...all, all[4]!])).toEqual(['duplicate'])
    expect(wrong(all => all.with(29, { ...all[29]!, line: 1 }))).toContain('aborted-read')
    expect(wrong(all => all.with(29, { ...all[29]!, balance: 1 }))).toContain('aborted-read')
  })

  it.each(planted)('finds %s', (_, evidence, expected) => {
    expect(check(evidence).found.map(({ anomaly }) => anomaly)).toEqual(expected)
  })
})
