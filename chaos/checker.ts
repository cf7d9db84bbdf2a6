import { accountOf, amountOf, expectedLines, type Line } from './job.ts'

/** Names of anomalies, after those of `jepsen.tests.kafka`. */
export type Anomaly =
  /** A move without its line, at the destination or on a topic. */
  | 'lost-write'
  /** Two lines of one move, for a reader to whom each is promised once. */
  | 'duplicate'
  /** A line on one of the two topics of its commit, not on the other. */
  | 'torn-commit'
  /** A line that no committed work can have written. */
  | 'aborted-read'
  /** Lines of an account in another order than they were written. */
  | 'nonmonotonic-poll'
  /** State that is not what the moves come to. */
  | 'wrong-state'
  /** The run did not come to its end. */
  | 'unseen'

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

export interface Found {
  readonly anomaly: Anomaly
  readonly what: string
}

export interface Verdict {
  readonly found: readonly Found[]
  /** Records on the topics that a reader of ours knows by their stamps and drops. */
  readonly repeats: number
  readonly records: number
}

/** Counts again what came of a run, from nothing but what it was to come to. */
export function check(evidence: Evidence): Verdict {
  const { loaded, topics, ordered, onceForAll } = evidence
  const found: Found[] = []
  const add = (anomaly: Anomaly, what: string): void => void found.push({ anomaly, what })
  const made = expectedLines(evidence.entries)
  const lines = ordered ? made : historyOf(loaded.lines, made, 'adds up', add)
  // One hop on, each line is counted once more, in the order in which it came there.
  const totals = ordered ? made : historyOf(loaded.totals, lines, 'as before', add)
  let repeats = 0
  checkRows('loaded lines', loaded.lines, lines, true, add)
  checkRows('loaded totals', loaded.totals, totals, true, add)
  repeats += checkRows('topic lines', topics.lines, lines, onceForAll, add)
  repeats += checkRows('topic echoes', topics.echoes, lines, onceForAll, add)
  repeats += checkRows('topic totals', topics.totals, totals, onceForAll, add)
  if (ordered) for (const topic of ['lines', 'totals'] as const) checkOrder(`topic ${topic}`, topics[topic], add)
  const onLines = new Set(topics.lines.map(({ id }) => id))
  const onEchoes = new Set(topics.echoes.map(({ id }) => id))
  for (const id of new Set([...onLines, ...onEchoes]))
    if (onLines.has(id) !== onEchoes.has(id))
      add('torn-commit', `move ${id} has a line on ${onLines.has(id) ? 'lines' : 'echoes'} alone`)
  checkState(evidence, made, add)
  return { found, repeats, records: made.size }
}

/**
 * The order that the rows claim for themselves, if it is one: per account each line number once, from 1 on without a hole. A balance
 * adds up in that order, or is that of the row before.
 */
function historyOf(
  rows: readonly Line[],
  before: ReadonlyMap<number, Line>,
  balances: 'adds up' | 'as before',
  add: Add
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

type Add = (anomaly: Anomaly, what: string) => void

/** Gives how many rows were there before. */
function checkRows(
  where: string,
  rows: readonly Line[],
  expected: ReadonlyMap<number, Line>,
  once: boolean,
  add: Add
): number {
  const seen = new Set<number>()
  let repeats = 0
  for (const row of rows) {
    const { id, account, line, balance } = row
    const should = expected.get(id)
    if (!should || should.account !== account || should.line !== line || should.balance !== balance)
      add('aborted-read', `${where}: ${JSON.stringify(row)}, should be ${JSON.stringify(should)}`)
    if (seen.has(id)) {
      repeats++
      if (once) add('duplicate', `${where}: move ${id}`)
    }
    seen.add(id)
  }
  for (const id of expected.keys()) if (!seen.has(id)) add('lost-write', `${where}: move ${id}`)
  return repeats
}

/** Of repeats the first one counts, as it does for a reader that drops them. */
function checkOrder(where: string, rows: readonly Line[], add: Add): void {
  const last = new Map<string, number>()
  const seen = new Set<number>()
  for (const { id, account, line } of rows) {
    if (seen.has(id)) continue
    seen.add(id)
    const before = last.get(account) ?? 0
    if (line < before) add('nonmonotonic-poll', `${where}: line ${line} of ${account} after ${before}`)
    last.set(account, line)
  }
}

function checkState({ state }: Evidence, expected: ReadonlyMap<number, Line>, add: Add): void {
  const last = new Map<string, Line>()
  for (const line of expected.values()) last.set(line.account, line)
  for (const [account, { line, balance }] of last) {
    const has = state.get(account)
    if (has?.line !== line || has.balance !== balance)
      add('wrong-state', `${account} has ${JSON.stringify(has)}, should have line ${line}, balance ${balance}`)
  }
  for (const account of state.keys()) if (!last.has(account)) add('wrong-state', `${account} has never had a move`)
}
