/** What the processes of one run have in common; handed to the workers as JSON. */
export interface Job {
  /** Part of every name. */
  readonly run: string
  readonly broker: string
  /** Where tasks commit: as in `connect`. */
  readonly store: string
  /** Of this run alone. */
  readonly folder: string
  readonly sessionTimeout: number
  /** Each worker notes when its tasks commit, in a file of the folder. */
  readonly noted?: boolean
}

/** How far the sources may go, in a file of the folder: entries of each split. */
export interface Allowance {
  readonly entries: number
  /** No more will be allowed: then the source ends. */
  readonly final: boolean
}

export const allowanceFile = 'allowance.json'
/** One for each worker process: a line for each commit, its time and its task. */
export const notesFile = (pid: number): string => `commits-${pid}.log`
/** The destination of the sinks. */
export const outputsFile = 'outputs.db'

export const splits: readonly string[] = ['0', '1']
const accountsPerSplit = 5

/** The `index`-th move of a split: everything is known beforehand, so that anybody can count it again. */
export function moveOf(split: string, index: number): Move {
  const id = index * splits.length + Number(split)
  return { id, amount: amountOf(id) }
}

export const amountOf = (id: number): number => 1 + (Math.floor(id / splits.length) % 7)

export const accountOf = (id: number): string => {
  const split = id % splits.length
  return `account-${split}-${Math.floor(id / splits.length) % accountsPerSplit}`
}

export interface Move {
  readonly id: number
  readonly amount: number
}

/** What the book says of a move: its number within the account, and the balance after it. */
export interface Line {
  readonly id: number
  readonly account: string
  readonly line: number
  readonly balance: number
}

/** What must come out of so many entries of each split: lines by the id of the move. */
export function expectedLines(entries: number): ReadonlyMap<number, Line> {
  const lines = new Map<number, Line>()
  const books = new Map<string, { line: number; balance: number }>()
  for (let index = 0; index < entries; index++)
    for (const split of splits) {
      const { id, amount } = moveOf(split, index)
      const account = accountOf(id)
      const before = books.get(account) ?? { line: 0, balance: 0 }
      const after = { line: before.line + 1, balance: before.balance + amount }
      books.set(account, after)
      lines.set(id, { id, account, ...after })
    }
  return lines
}
