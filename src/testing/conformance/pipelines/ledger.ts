import { json, number, text, type Codec } from '../../../core/codec.ts'
import { topic, type Topic } from '../../../core/topic.ts'
import { keyed, pipeline, processor, type FailurePolicy, type Pipeline } from '../../../pipeline/index.ts'

/** What goes into the ledger of the conformance cases. */
export interface Deposit {
  readonly amount: number
  readonly at: number
}

/** One line of the ledger per deposit: its number within the account, and the balance after it. */
export interface Line {
  readonly line: number
  readonly balance: number
}

export interface Ledger {
  readonly deposits: Topic<string, string, Deposit>
  readonly lines: Topic<string, string, Line>
  readonly app: Pipeline
}

export interface LedgerOptions {
  /** Called before each deposit is booked. */
  readonly before?: (deposit: Deposit, account: string) => void | Promise<void>
  readonly failure?: FailurePolicy
  readonly concurrency?: number
  readonly partitions?: number
  /** Default: JSON for what is in topics, doubles in state. */
  readonly codecs?: LedgerCodecs
}

export interface LedgerCodecs {
  readonly deposit: Codec<Deposit>
  readonly line: Codec<Line>
  readonly state: Codec<number>
}

const plain: LedgerCodecs = { deposit: json<Deposit>(), line: json<Line>(), state: number }

/**
 * The pipeline of the cases: state per account, and an output whose numbers tell at once whether any deposit was lost,
 * booked twice, or booked by two owners.
 */
export function ledger(
  name: string,
  { before, failure, concurrency, partitions = 4, codecs = plain }: LedgerOptions = {}
): Ledger {
  const deposits = topic(`${name}-deposits`, {
    key: text,
    value: codecs.deposit,
    eventTime: deposit => deposit.at,
    partitions
  })
  const lines = topic(`${name}-lines`, { key: text, value: codecs.line, partitions })
  const book = processor({
    name: 'book',
    from: deposits,
    to: lines,
    state: { line: keyed(codecs.state, 0), balance: keyed(codecs.state, 0) },
    ...(failure && { failure }),
    ...(concurrency && { concurrency }),
    process({ key, value }, { state }) {
      const write = (): { key: string; value: Line } => {
        state.line.set(state.line.get() + 1)
        state.balance.set(state.balance.get() + value.amount)
        return { key, value: { line: state.line.get(), balance: state.balance.get() } }
      }
      const waited = before?.(value, key)
      return waited ? waited.then(write) : write()
    }
  })
  return { deposits, lines, app: pipeline(name, [book]) }
}

/** What a worker in a process of its own needs to know. */
export interface LedgerJob {
  readonly name: string
  /** `sqlite:<file>`, or `broker`. */
  readonly store: string
  readonly sessionTimeout: number
  /** ms that each deposit takes. */
  readonly pace: number
}
