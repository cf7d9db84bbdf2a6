import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  json,
  keyed,
  number,
  pipeline,
  processor,
  sink,
  source,
  text,
  topic,
  type Pipeline,
  type Topic
} from '../src/index.ts'
import { sqlite } from '../src/sqlite.ts'
import {
  accountOf,
  allowanceFile,
  moveOf,
  outputsFile,
  splits,
  type Allowance,
  type Job,
  type Line,
  type Move
} from './job.ts'

export const partitions = 4

export interface Chain {
  readonly lines: Topic<string, string, Line>
  readonly echoes: Topic<string, string, Line>
  readonly totals: Topic<string, string, Line>
  readonly app: Pipeline
}

/**
 *     generate -> moves -> book -> lines -> again -> totals -> load-totals
 *                             \-> echoes      \-> load-lines
 *
 * Each move has a line on two topics, in different partitions: a commit that is torn shows by one without the other.
 * `again` keeps the book once more from what it reads, one hop further.
 */
export function chain({ run, folder }: Job): Chain {
  const moves = topic(`moves-${run}`, { key: text, value: json<Move>(), partitions })
  const lines = topic(`lines-${run}`, { key: text, value: json<Line>(), partitions })
  const echoes = topic(`echoes-${run}`, { key: text, value: json<Line>(), partitions })
  const totals = topic(`totals-${run}`, { key: text, value: json<Line>(), partitions })

  const generate = source({
    name: 'generate',
    to: moves,
    splits: () => splits,
    async *run({ resume, split, signal }) {
      for (let next = Number(resume ?? 0); !signal.aborted;) {
        const { entries, final } = allowance(folder)
        const until = Math.min(entries, next + 10)
        if (next >= until && final) return
        const some = Array.from({ length: Math.max(0, until - next) }, (_, index) => moveOf(split, next + index))
        next = Math.max(next, until)
        yield some.map((value, index) => ({
          key: accountOf(value.id),
          value,
          cursor: next - some.length + index + 1
        }))
        await sleep(20, undefined, { signal }).catch(() => {})
      }
    }
  })

  const book = processor({
    name: 'book',
    from: moves,
    to: [lines, echoes],
    state: { line: keyed(number, 0), balance: keyed(number, 0) },
    process({ key, value }, { state }) {
      state.line.set(state.line.get() + 1)
      state.balance.set(state.balance.get() + value.amount)
      const line = { id: value.id, account: key, line: state.line.get(), balance: state.balance.get() }
      return [
        { topic: lines.name, key, value: line },
        { topic: echoes.name, key: `${value.id}`, value: line }
      ]
    }
  })

  const again = processor({
    name: 'again',
    from: lines,
    to: totals,
    state: { line: keyed(number, 0) },
    process({ key, value }, { state }) {
      state.line.set(state.line.get() + 1)
      return { key, value: { ...value, line: state.line.get() } }
    }
  })

  // Rows and the position behind them are one transaction. No primary keys: a record that came twice would be two rows.
  const load = (table: string): ReturnType<typeof sqlite> =>
    sqlite({ file: join(folder, outputsFile), table, create: `CREATE TABLE ${table} (id, account, line, balance)` })

  return {
    lines,
    echoes,
    totals,
    app: pipeline(`chaos-${run}`, [
      generate,
      book,
      again,
      sink({ name: 'load-lines', from: lines, write: load('lines') }),
      sink({ name: 'load-totals', from: totals, write: load('totals') })
    ])
  }
}

function allowance(folder: string): Allowance {
  return JSON.parse(readFileSync(join(folder, allowanceFile), 'utf8')) as Allowance
}
