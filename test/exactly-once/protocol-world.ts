/**
 * The world around the commit protocol as an explicit-state model: an abstract commit store, two workers that run the
 * production reducer, a network that delays, loses and hides answers, a relay that anyone may do, and a reader with the
 * production dedupe. Everything is a plain value: a successor is a new world.
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

interface Append extends Row {
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

const nobody: Worker = { protocol: idle, next: 0, queue: [], relayed: 0 }

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

const withWorker = (world: World, index: number, worker: Worker): World => ({
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

/** Feeds an event to the production reducer and carries its effects out. */
function feed(rules: Rules, world: World, index: number, event: ProtocolEvent): World {
  const worker = world.workers[index]!
  let protocol: ProtocolState
  let effects: readonly ProtocolEffect[]
  try {
    ;[protocol, effects] = rules.step(worker.protocol, event)
  } catch (error) {
    return { ...world, failure: `PROTOCOL ${String(error)}` }
  }
  let next = withWorker(world, index, { ...worker, protocol })
  for (const effect of effects) next = perform(rules, next, index, effect)
  return next
}

function perform(rules: Rules, world: World, index: number, effect: ProtocolEffect): World {
  const worker = world.workers[index]!
  switch (effect.do) {
    case 'recover': {
      const rows = world.rows.slice(0, worker.head!.rows)
      const unsent = rows.flatMap((row, at) =>
        at + 1 > world.forgotten ? [{ sequence: at + 1, token: row.token }] : []
      )
      const { head: _, saw: __, ...rest } = worker
      return withWorker(world, index, {
        ...rest,
        next: rules.acknowledgeFirst ? world.acknowledged : rows.length === 0 ? 0 : rows.at(-1)!.input + 1,
        queue:
          rules.store === 'renewed'
            ? []
            : unsent.map(row => ({ ...row, sequence: rules.restamp(worker.head!.epoch, row.sequence) })),
        relayed: unsent.length > 0 ? unsent[0]!.sequence - 1 : rows.length
      })
    }
    case 'append': {
      const { input } = worker.pending!
      const relayed = rules.folds(worker, effect.commit)
      const { epoch, commit, token } = effect
      const append: Append = { worker: index, epoch, commit, token, input, relayed, awaited: true }
      return { ...world, network: [...world.network, append] }
    }
    case 'apply': {
      const { pending, ...rest } = worker
      const token = pending!.token
      const applied: Worker = {
        ...rest,
        next: pending!.input + 1,
        queue:
          rules.store === 'renewed'
            ? worker.queue
            : [...worker.queue, { sequence: rules.restamp(epochOf(worker), effect.commit), token }]
      }
      const stored = world.rows[effect.commit - 1]?.token
      const failure =
        stored === token
          ? undefined
          : `DIVERGED worker ${index} believes in ${token} as ${effect.commit}, the store has ${stored}`
      return { ...withWorker(world, index, applied), ...(failure && { failure }) }
    }
    case 'discard':
      // Its sender may go on with what was committed: a zombie relay.
      return withWorker(world, index, { ...nobody, queue: worker.queue, relayed: worker.relayed })
    default:
      return world
  }
}

const epochOf = (worker: Worker): number => ('epoch' in worker.protocol ? worker.protocol.epoch : 0)

/** The conditional write. */
function take(rules: Rules, world: World, append: Append): { world: World; outcome: 'ok' | 'fenced' } {
  if (!rules.takes(world, append)) return { world, outcome: 'fenced' }
  const { input, token, commit } = append
  const rows = [...world.rows]
  const before = rows[commit - 1]
  rows[commit - 1] = { input, token }
  const failure =
    before && before.token !== token
      ? `DIVERGED commit ${commit} was ${before.token}, now ${token}`
      : rows.length !== world.rows.length + (before ? 0 : 1)
        ? `HOLE commit ${commit} after ${world.rows.length}`
        : undefined
  const topic = rules.store === 'renewed' ? [...world.topic, `${commit}:${token}`] : world.topic
  const forgotten = Math.max(world.forgotten, append.relayed)
  return { world: { ...world, rows, topic, forgotten, ...(failure && { failure }) }, outcome: 'ok' }
}

const without = <Item>(items: readonly Item[], at: number): readonly Item[] => [
  ...items.slice(0, at),
  ...items.slice(at + 1)
]

/** Everything that may happen next, with a name for the trace. */
export function successors(rules: Rules, world: World): (readonly [name: string, world: World])[] {
  const found: (readonly [string, World])[] = []
  const add = (name: string, next: World): void => void found.push([name, canonical(next)])
  if (world.failure) return found
  for (const index of [0, 1]) workerSteps(rules, world, index, add)
  networkSteps(rules, world, add)
  return found
}

function workerSteps(rules: Rules, world: World, index: number, add: (name: string, next: World) => void): void {
  const worker = world.workers[index]!
  const { protocol } = worker
  const name = 'AB'[index]!
  if (protocol.phase === 'idle') {
    if (world.epoch < rules.epochs) add(`${name} assigned`, feed(rules, world, index, { type: 'assigned' }))
  } else {
    // A crash takes the relay queue along; a release leaves it to the sender.
    add(`${name} crash`, withWorker(world, index, nobody))
    add(`${name} released`, feed(rules, world, index, { type: 'released' }))
  }
  if (protocol.phase === 'acquiring') acquire(rules, world, index, name, add)
  if (protocol.phase === 'running' && worker.next < rules.inputs && world.tokens < rules.tokens) {
    const token = `t${world.tokens}`
    const pending = withWorker({ ...world, tokens: world.tokens + 1 }, index, {
      ...worker,
      pending: { input: worker.next, token }
    })
    const early: World = {
      ...pending,
      ...(rules.acknowledgeFirst && { acknowledged: Math.max(world.acknowledged, worker.next + 1) }),
      ...(rules.sendFirst && { topic: [...world.topic, `${protocol.commit + 1}:${token}`] })
    }
    add(`${name} commit ${token}`, feed(rules, early, index, { type: 'commit-due', token }))
  }
  if (protocol.phase === 'reading-back') readBack(rules, world, index, name, add)
  const [row] = worker.queue
  if (row && !rules.sendFirst && world.topic.length < rules.inputs + rules.repeats) {
    const sent = { ...world, topic: [...world.topic, `${row.sequence}:${row.token}`] }
    add(
      `${name} relay ${row.token}`,
      withWorker(sent, index, { ...worker, queue: worker.queue.slice(1), relayed: worker.relayed + 1 })
    )
    add(`${name} relay ${row.token}, answer lost`, sent)
  }
}

function acquire(
  rules: Rules,
  world: World,
  index: number,
  name: string,
  add: (name: string, next: World) => void
): void {
  const worker = world.workers[index]!
  if (worker.head) {
    add(
      `${name} recovers`,
      feed(rules, world, index, { type: 'acquired', epoch: worker.head.epoch, commit: worker.head.rows })
    )
    return
  }
  if (rules.headFirst && worker.saw === undefined) {
    add(`${name} reads the head`, withWorker(world, index, { ...worker, saw: world.rows.length }))
    return
  }
  if (world.epoch >= rules.epochs) return
  const head = { epoch: world.epoch + 1, rows: worker.saw ?? world.rows.length }
  add(`${name} raises the epoch`, withWorker({ ...world, epoch: world.epoch + 1 }, index, { ...worker, head }))
}

function readBack(
  rules: Rules,
  world: World,
  index: number,
  name: string,
  add: (name: string, next: World) => void
): void {
  const mine = epochOf(world.workers[index]!)
  const last = world.rows.at(-1)
  const found = { commit: world.rows.length, token: last?.token }
  if (rules.store === 'kept') {
    if (mine !== world.epoch)
      add(`${name} reads back: fenced`, feed(rules, world, index, { type: 'appended', outcome: 'fenced' }))
    else add(`${name} reads back`, feed(rules, world, index, { type: 'read-back', epoch: mine, ...found }))
    return
  }
  if (world.epoch >= rules.epochs) return
  const epoch = world.epoch + 1
  add(`${name} reads back anew`, feed(rules, { ...world, epoch }, index, { type: 'read-back', epoch, ...found }))
}

function networkSteps(rules: Rules, world: World, add: (name: string, next: World) => void): void {
  world.network.forEach((append, at) => {
    const rest: World = { ...world, network: without(world.network, at) }
    const what = `append ${append.token} by ${'AB'[append.worker]}`
    const waits = append.awaited && stillWaits(world.workers[append.worker]!, append)
    const tell = (told: World, outcome: 'ok' | 'fenced' | 'unknown'): World =>
      waits ? feed(rules, told, append.worker, { type: 'appended', outcome }) : told
    const taken = take(rules, rest, append)
    add(`${what}: ${taken.outcome}`, tell(taken.world, taken.outcome))
    add(`${what}: lost`, tell(rest, 'unknown'))
    if (!waits) return
    add(`${what}: ${taken.outcome}, hidden`, tell(taken.world, 'unknown'))
    // The answer times out; the request is still on its way. A broker settles it before a new epoch is given out.
    if (rules.store === 'renewed') return
    const late = {
      ...world,
      network: world.network.map((other, index) => (index === at ? { ...other, awaited: false } : other))
    }
    add(`${what}: timeout`, feed(rules, late, append.worker, { type: 'appended', outcome: 'unknown' }))
  })
}

const stillWaits = ({ protocol }: Worker, { epoch, commit, token }: Append): boolean =>
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
