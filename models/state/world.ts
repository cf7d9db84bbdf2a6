/**
 * The state of one task that need not fit into memory: a store with epochs, two workers, reads that are answered late, and commits that
 * are unclear. Memory is the `TaskState` of the product, recovery goes on where the loader of the product says, commits go through the
 * production reducer. What a handler must see follows from the inputs alone.
 */
import { idle, step, type ProtocolState } from '../../src/exactly-once/protocol.ts'
import { nothing, lifetime, type Memory, type Rows } from './memory.ts'

/** What the handler of an input does to the value of its key. */
export interface Input {
  readonly key: string
  readonly time: number
  readonly does: 'add' | 'delete'
}

/** A read of the store: a page of recovery, rows of keys, or a page for the sweep. */
export interface Question {
  readonly kind: 'page' | 'find' | 'sweep'
  readonly epoch: number
  readonly keys: readonly string[]
  /** As of when the store looked; it has yet to arrive. */
  readonly answer?: Rows | 'fenced'
}

export interface Worker {
  readonly protocol: ProtocolState
  /** The next input. */
  readonly next: number
  readonly memory: Memory
  /** Where recovery goes on; `undefined`: it is over. */
  readonly restoring?: string
  readonly asked: readonly Question[]
  /** What is being committed. */
  readonly pending?: { readonly next: number; readonly rows: Rows; readonly changed: readonly string[] }
  /** Of the mutants: rows that were read before the fence, keys once found absent, and memory of a former life. */
  readonly early?: Rows
  readonly absent?: readonly string[]
  readonly kept?: Memory
}

export interface World {
  readonly epoch: number
  readonly number: number
  readonly token: string | undefined
  /** Inputs that are committed. */
  readonly next: number
  readonly rows: Rows
  readonly workers: readonly [Worker, Worker]
  readonly failure?: string
}

export interface Rules {
  readonly inputs: readonly Input[]
  readonly epochs: number
  /** The state has a lifetime, by event time. */
  readonly lives: boolean
  /** Recovery finds room for one row only. */
  readonly small: boolean
  /** What a reader gives is of its epoch, or nothing. */
  readonly bound: boolean
  /** What is asked for under an epoch that is over. */
  readonly late: 'dropped' | 'used'
  /** What was refused as fenced ends the life of the worker, or counts as no row. */
  readonly refused: 'ends' | 'absent'
  /** One question at a time, and nothing goes on meanwhile. */
  readonly waits: boolean
  readonly letsGo: 'clean' | 'anything'
  /** A cell says that there is no row, or a list beside the cells. */
  readonly absent: 'cell' | 'list'
  readonly newLife: 'empty' | 'kept'
  readonly cutShort: 'told' | 'forgotten'
  readonly fence: 'first' | 'after the rows'
  /** When what a commit has written is clean. */
  readonly clean: 'committed' | 'sent'
  /** Before each record what is missing is fetched, or once for a batch. */
  readonly fetches: 'each time' | 'once'
  /** A sweep goes by the watermark, or by a clock that is ahead of it. */
  readonly sweeps: 'watermark' | 'clock'
  /** A late record is judged by the watermark, or by its own time. */
  readonly judges: 'watermark' | 'record'
}

const plain: readonly Input[] = [
  { key: 'a', time: 0, does: 'add' },
  { key: 'b', time: 0, does: 'add' },
  { key: 'b', time: 0, does: 'delete' },
  { key: 'a', time: 0, does: 'add' },
  { key: 'b', time: 0, does: 'add' }
]

/** With values that lapse: `a` is set again while it lives, `b` is gone when a late record comes. */
export const lasting: readonly Input[] = [
  { key: 'b', time: 0, does: 'add' },
  { key: 'a', time: 1, does: 'add' },
  { key: 'a', time: 3, does: 'add' },
  { key: 'b', time: 2, does: 'add' }
]

export const rules: Rules = {
  inputs: plain,
  epochs: 3,
  lives: false,
  small: true,
  bound: true,
  late: 'dropped',
  refused: 'ends',
  waits: true,
  letsGo: 'clean',
  absent: 'cell',
  newLife: 'empty',
  cutShort: 'told',
  fence: 'first',
  clean: 'committed',
  fetches: 'each time',
  sweeps: 'watermark',
  judges: 'watermark'
}

export const nobody: Worker = { protocol: idle, next: 0, memory: nothing, asked: [] }

export const start: World = { epoch: 0, number: 0, token: undefined, next: 0, rows: {}, workers: [nobody, nobody] }

export const feed = (worker: Worker, event: Parameters<typeof step>[1]): Worker => ({
  ...worker,
  protocol: step(worker.protocol, event)[0]
})

/** Event time up to which everything is processed. */
export const watermarkAt = ({ inputs }: Rules, next: number): number =>
  inputs.slice(0, next).reduce((time, input) => Math.max(time, input.time), 0)

/** The values after the first `next` inputs, counted again from nothing. */
export function expected(rules: Rules, next: number): ReadonlyMap<string, { value: string; lapsesAt: number }> {
  const values = new Map<string, { value: string; lapsesAt: number }>()
  for (const [index, { key, time, does }] of rules.inputs.slice(0, next).entries()) {
    const now = Math.max(time, watermarkAt(rules, index))
    const before = values.get(key)
    const lives = before && before.lapsesAt > now ? before : undefined
    if (does === 'delete') values.delete(key)
    else
      values.set(key, {
        value: `${lives?.value ?? ''}${index}`,
        lapsesAt: rules.lives ? Math.max(now + lifetime, lives?.lapsesAt ?? 0) : Infinity
      })
  }
  return values
}

/** What must be found under a key by a record of `time`, when `next` inputs are processed. */
export function expectedAt(rules: Rules, next: number, key: string, time: number): string | undefined {
  const found = expected(rules, next).get(key)
  return found && found.lapsesAt > time ? found.value : undefined
}

/** The store has what its commits have written: no more, but for what is gone and not yet deleted, and no less. */
export function violation(rules: Rules, world: World): string | undefined {
  if (world.failure) return world.failure
  const now = watermarkAt(rules, world.next)
  for (const key of new Set(rules.inputs.map(input => input.key))) {
    const row = world.rows[key]
    const there = row && (row.lapsesAt ?? Infinity) > now ? row.value : undefined
    const right = expectedAt(rules, world.next, key, now)
    if (there !== right) return `LOST after ${world.next} inputs the store has ${there} of ${key}, right is ${right}`
  }
  return undefined
}
