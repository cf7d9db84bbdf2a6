import { checkHistory, type Anomaly, type FoundAnomaly, type HistoryVerdict, type Place } from '../src/testing/index.ts'
import { accountOf, amountOf, expectedLines, type Line } from './job.ts'

export interface Evidence {
  /** So many moves of each split were made. */
  readonly entries: number
  /** What the transactional sinks have written: read by this library, one and two hops on. */
  readonly loaded: { readonly lines: readonly Line[]; readonly totals: readonly Line[] }
  /** Records as they are on the topics, repeats included, in the order of their partitions. */
  readonly topics: Readonly<Record<'lines' | 'echoes' | 'totals', readonly Line[]>>
  /** Is the topic promised once to any reader, too? */
  readonly onceForAll: boolean
  /** Does the broker keep the order of a partition? Else the lines of an account have the order in which its moves came. */
  readonly ordered: boolean
  /** Account -> line and balance, as committed by `book`. */
  readonly state: ReadonlyMap<string, { readonly line: number; readonly balance: number }>
}

export type Found = FoundAnomaly

/** Counts again what came of a run, from nothing but what it was to come to. */
export function check({ entries, loaded, topics, onceForAll, ordered, state }: Evidence): HistoryVerdict {
  const claims: Found[] = []
  const add = (anomaly: Anomaly, what: string): void => void claims.push({ anomaly, what })
  const made = expectedLines(entries)
  const lines = ordered ? made : historyOf(loaded.lines, made, 'adds up', add)
  // One hop on, each line is counted once more, in the order in which it came there.
  const totals = ordered ? made : historyOf(loaded.totals, lines, 'as before', add)
  const place = (
    rows: readonly Line[],
    expected: ReadonlyMap<number, Line>,
    more: Pick<Place, 'ordered' | 'repeats'>
  ): Place => ({
    seen: rows.map(row => ({ id: row.id, key: row.account, order: row.line, value: row })),
    expected: id => expected.get(id as number),
    ...more
  })
  const topic = { repeats: onceForAll ? 'duplicate' : 'counted' } as const
  const verdict = checkHistory({
    sent: [...made.values()].map(({ id, account }) => ({ id, key: account })),
    places: {
      // Tables have no order.
      'loaded lines': place(loaded.lines, lines, { ordered: false }),
      'loaded totals': place(loaded.totals, totals, { ordered: false }),
      'topic lines': place(topics.lines, lines, { ...topic, ordered }),
      // The echoes of a commit stand on a partition of their own, with those of others between them.
      'topic echoes': place(topics.echoes, lines, { ...topic, ordered: false }),
      'topic totals': place(topics.totals, totals, { ...topic, ordered })
    },
    together: [['topic lines', 'topic echoes']],
    state: { found: state, expected: lastOf(made) }
  })
  return { ...verdict, found: [...claims, ...verdict.found] }
}

/**
 * The order that the rows claim for themselves, if it is one: per account each line number once, from 1 on without a hole. A balance
 * adds up in that order, or is that of the row before.
 */
function historyOf(
  rows: readonly Line[],
  before: ReadonlyMap<number, Line>,
  balances: 'adds up' | 'as before',
  add: (anomaly: Anomaly, what: string) => void
): ReadonlyMap<number, Line> {
  const claimed = new Map<number, Line>()
  for (const row of rows) if (!claimed.has(row.id)) claimed.set(row.id, row)
  for (const [account, history] of Map.groupBy(claimed.values(), ({ id }) => accountOf(id))) {
    let sum = 0
    for (const [index, row] of history.toSorted((left, right) => left.line - right.line).entries()) {
      sum += amountOf(row.id)
      const balance = balances === 'adds up' ? sum : before.get(row.id)?.balance
      if (row.line !== index + 1 || row.account !== account || row.balance !== balance)
        add('aborted-read', `${JSON.stringify(row)}, should be line ${index + 1} of ${account}, balance ${balance}`)
    }
  }
  // What is missing is missed by its move.
  return new Map([...before].map(([id, row]) => [id, claimed.get(id) ?? row]))
}

function lastOf(lines: ReadonlyMap<number, Line>): ReadonlyMap<string, { line: number; balance: number }> {
  return new Map([...lines.values()].map(({ account, line, balance }) => [account, { line, balance }]))
}
