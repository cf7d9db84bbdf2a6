/**
 * The world around the commit protocol as an explicit-state model: an abstract commit store, two workers that run the
 * production reducer, a network that delays, loses and hides answers, a relay that anyone may do, and a reader with the
 * production dedupe. Everything is a plain value: a successor (`steps.ts`) is a new world.
 */
import {
  idle,
  step,
  type ProtocolEffect,
  type ProtocolEvent,
  type ProtocolState
} from '../../src/exactly-once/protocol.ts'
import { ProducerProgress } from '../../src/watermark/producer-progress.ts'

/** One committed row: which input it covers, and whose attempt it is. */
export interface Row {
  readonly input: number
  readonly token: string
}

export interface Append extends Row {
  readonly worker: number
  readonly epoch: number
  readonly commit: number
  readonly relayed: number
  /** The worker that sent it still waits for this answer. */
  readonly awaited: boolean
}

export interface Worker {
  readonly protocol: ProtocolState
  /** Read at the store, not told to the worker yet. */
  readonly head?: { readonly epoch: number; readonly rows: number }
  /** Epoch that the mutant `head first` saw before it raised. */
  readonly saw?: number
  /** The next input to process. */
  readonly next: number
  readonly pending?: Row
  /** Committed rows that it will send, in order. */
  readonly queue: readonly { readonly sequence: number; readonly token: string }[]
  /** Every row up to here is sent, as far as it knows. */
  readonly relayed: number
}

export interface World {
  readonly epoch: number
  readonly rows: readonly Row[]
  /** Rows up to here are forgotten by the outbox. */
  readonly forgotten: number
  /** Inputs that the source will not give again (only the mutant `acknowledge first` moves it by itself). */
  readonly acknowledged: number
  readonly workers: readonly [Worker, Worker]
  readonly network: readonly Append[]
  /** What the topic holds, `sequence:token`. */
  readonly topic: readonly string[]
  readonly tokens: number
  readonly failure?: string
}

/** What makes a model: bounds, how the store behaves, and where a mutant departs from the protocol. */
export interface Rules {
  readonly inputs: number
  readonly epochs: number
  readonly tokens: number
  /** Entries that the topic may hold more than there are inputs: repeats. */
  readonly repeats: number
  /** `kept`: a row stays under one epoch (sqlite). `renewed`: reading back raises the epoch, outputs are atomic (broker). */
  readonly store: 'kept' | 'renewed'
  readonly step: (state: ProtocolState, event: ProtocolEvent) => readonly [ProtocolState, readonly ProtocolEffect[]]
  /** Does the store take an append? */
  takes(world: World, append: { readonly epoch: number; readonly commit: number }): boolean
  /** Order of fence and read in `acquire`. */
  readonly headFirst: boolean
  readonly acknowledgeFirst: boolean
  readonly sendFirst: boolean
  /** The sequence under which a worker sends a row that it found in the outbox. */
  restamp(epoch: number, sequence: number): number
  /** What a commit tells the store to forget. */
  folds(worker: Worker, commit: number): number
  readonly dedupe: 'processed' | 'none'
}

export const rules: Rules = {
  inputs: 2,
  epochs: 3,
  tokens: 3,
  repeats: 1,
  store: 'kept',
  step,
  takes: (world, { epoch, commit }) => epoch === world.epoch && commit === world.rows.length + 1,
  headFirst: false,
  acknowledgeFirst: false,
  sendFirst: false,
  restamp: (_, sequence) => sequence,
  folds: worker => worker.relayed,
  dedupe: 'processed'
}

export const nobody: Worker = { protocol: idle, next: 0, queue: [], relayed: 0 }

export const start: World = {
  epoch: 0,
  rows: [],
  forgotten: 0,
  acknowledged: 0,
  workers: [nobody, nobody],
  network: [],
  topic: [],
  tokens: 0
}

export const withWorker = (world: World, index: number, worker: Worker): World => ({
  ...world,
  workers: index === 0 ? [worker, world.workers[1]] : [world.workers[0], worker]
})

/** Workers are alike, and an answer that nobody waits for is none: worlds that differ in no more than that are one. */
export function canonical(world: World): World {
  const [left, right] = world.workers
  const swap = JSON.stringify(left) > JSON.stringify(right)
  if (!swap && world.network.length === 0) return world
  // A late copy of a request does what the other late copy does.
  const copies = world.network.map(append => {
    const awaited = append.awaited && stillWaits(world.workers[append.worker]!, append)
    return JSON.stringify({ ...append, awaited, worker: awaited ? (swap ? 1 - append.worker : append.worker) : 0 })
  })
  const network = [...new Set(copies)].sort().map(copy => JSON.parse(copy) as Append)
  return { ...world, network, workers: swap ? [right, left] : [left, right] }
}

/** Does its sender wait for the answer to this append? */
export const stillWaits = ({ protocol }: Worker, { epoch, commit, token }: Append): boolean =>
  protocol.phase === 'committing' && protocol.epoch === epoch && protocol.commit === commit && protocol.token === token

/** What a reader of the topic takes, by the dedupe of the product. */
export function received(rules: Rules, world: World): { readonly tokens: readonly string[]; readonly gap: boolean } {
  const progress = new ProducerProgress()
  const tokens: string[] = []
  let gap = false
  for (const entry of world.topic) {
    const [number, token] = entry.split(':') as [string, string]
    const sequence = Number(number)
    if (rules.dedupe === 'processed' && progress.has(sequence)) continue
    if (rules.dedupe === 'processed' && sequence !== progress.high + 1) gap = true
    progress.processed(sequence, undefined)
    tokens.push(token)
  }
  return { tokens, gap }
}

/** The first broken promise of a world, or nothing. */
export function violation(rules: Rules, world: World): string | undefined {
  if (world.failure) return world.failure
  const inputs = world.rows.map(row => row.input)
  if (new Set(inputs).size < inputs.length) return `DUPLICATE inputs ${inputs} are committed`
  if (inputs.some((input, at) => input !== at)) return `LOST inputs: committed are ${inputs}`
  const { tokens, gap } = received(rules, world)
  if (gap) return `LOST the reader sees a hole in ${world.topic.join(' ')}`
  if (new Set(tokens).size < tokens.length) return `DUPLICATE the reader got ${tokens.join(' ')}`
  for (const [at, token] of tokens.entries()) {
    const row = world.rows[at]
    if (row === undefined ? !pendingToken(world, token) || rules.sendFirst : row.token !== token)
      return `DIVERGED the reader got ${token} as number ${at + 1}, committed is ${row?.token ?? 'nothing'}`
  }
  for (let number = 1; number <= world.forgotten; number++)
    if (!tokens.includes(world.rows[number - 1]!.token)) return `LOST ${number} left the outbox and was never sent`
  return undefined
}

const pendingToken = (world: World, token: string): boolean =>
  world.workers.some(worker => worker.pending?.token === token)

/** All inputs are committed and all outputs are read: what must stay reachable. */
export function complete(rules: Rules, world: World): boolean {
  return world.rows.length === rules.inputs && received(rules, world).tokens.length === rules.inputs
}
