import { idle, step, type ProtocolEvent, type ProtocolState } from '../../src/exactly-once/protocol.ts'
import { ProducerProgress, type ProducerSnapshot } from '../../src/watermark/producer-progress.ts'

/**
 * Store, outbox, relay, an unordered channel that repeats, and a reader of two partitions: what becomes of outputs when owners
 * change. Appends are one step here (their network is in the commit models); commits go through the production reducer, and
 * the reader is the production dedupe. Each commit writes to partition 0, the first one to partition 1 as well.
 */
export interface Commit {
  /** Whose attempt it is: another incarnation makes something else of the same input. */
  readonly token: string
  readonly epoch: number
}

export interface Store {
  readonly epoch: number
  readonly commits: readonly Commit[]
  /** All outputs of commits up to here are sent. */
  readonly relayed: number
}

export interface Output extends Commit {
  readonly partition: number
  readonly sequence: number
}

export interface Message extends Output {
  /** Of the worker that sent it. */
  readonly relayer: number
}

export interface Worker {
  readonly protocol: ProtocolState
  readonly unsent: readonly Output[]
  /** A store of its own, in the mutant that has one. */
  readonly local?: Store
  /** What it has published of a commit that is still to come. */
  readonly early?: string
}

export interface Reader {
  readonly progress: ProducerSnapshot
  readonly epoch: number
  readonly got: readonly { readonly sequence: number; readonly token: string }[]
}

export interface World {
  readonly store: Store
  readonly workers: readonly Worker[]
  readonly channel: readonly Message[]
  /** Everything that was ever in the channel, `partition:sequence:token`. */
  readonly sent: readonly string[]
  readonly readers: readonly Reader[]
}

export interface Rules {
  readonly inputs: number
  readonly epochs: number
  takes(store: Store, epoch: number, commit: number): boolean
  /** Outputs that an owner finds in the outbox. */
  found(output: Output, epoch: number): Output
  /** The reader drops what is of a lower epoch than it has seen, before it looks at the number. */
  readonly fence: 'epoch' | 'relayer' | undefined
  readonly dedupe: 'processed' | 'high-water'
  readonly ownStore: boolean
  readonly sendFirst: boolean
}

export const rules: Rules = {
  inputs: 2,
  epochs: 2,
  takes: (store, epoch, commit) => epoch === store.epoch && commit === store.commits.length + 1,
  found: output => output,
  fence: undefined,
  dedupe: 'processed',
  ownStore: false,
  sendFirst: false
}

const nobody: Worker = { protocol: idle, unsent: [] }
const empty: Store = { epoch: 0, commits: [], relayed: 0 }
const newReader: Reader = { progress: new ProducerProgress().snapshot(), epoch: 0, got: [] }

export const start: World = {
  store: empty,
  workers: [nobody, nobody],
  channel: [],
  sent: [],
  readers: [newReader, newReader]
}

/** Outputs of the commits from number `first` on. */
export const outputsOf = (commits: readonly Commit[], first: number): Output[] =>
  commits.flatMap((commit, index) =>
    (first + index === 1 ? [0, 1] : [0]).map(partition => ({ ...commit, partition, sequence: first + index }))
  )

const replace = <Item>(items: readonly Item[], at: number, item: Item): Item[] =>
  items.map((old, index) => (index === at ? item : old))
const without = <Item>(items: readonly Item[], at: number): Item[] => items.filter((_, index) => index !== at)
const nameOf = ({ partition, sequence, token }: Output): string => `${partition}:${sequence}:${token}`
const epochOf = ({ protocol }: Worker): number => ('epoch' in protocol ? protocol.epoch : 0)

function feed(worker: Worker, event: ProtocolEvent): Worker {
  return { ...worker, protocol: step(worker.protocol, event)[0] }
}

export function successors(rules: Rules, world: World): (readonly [string, World])[] {
  const found: (readonly [string, World])[] = []
  world.workers.forEach((worker, index) => {
    const name = 'AB'[index]!
    const change = (what: string, next: Worker, rest: Partial<World> = {}): void =>
      void found.push([`${name} ${what}`, { ...world, ...rest, workers: replace(world.workers, index, next) }])
    if (worker.protocol.phase === 'idle') {
      if (world.store.epoch < rules.epochs) acquire(rules, world, worker, change)
    } else change('crashes', nobody)
    if (worker.protocol.phase === 'running') commit(rules, world, worker, name, change)
    relay(rules, world, worker, change)
  })
  deliver(rules, world, found)
  return found
}

type Change = (what: string, next: Worker, rest?: Partial<World>) => void

function acquire(rules: Rules, world: World, worker: Worker, change: Change): void {
  const store = { ...world.store, epoch: world.store.epoch + 1 }
  const { epoch, commits, relayed } = store
  const acquired = feed(feed(worker, { type: 'assigned' }), { type: 'acquired', epoch, commit: commits.length })
  const unsent = outputsOf(commits.slice(relayed), relayed + 1).map(output => rules.found(output, epoch))
  change('acquires', { ...acquired, unsent, ...(rules.ownStore && { local: store }) }, { store })
}

function commit(rules: Rules, world: World, worker: Worker, name: string, change: Change): void {
  const { protocol } = worker
  if (protocol.phase !== 'running') return
  const number = protocol.commit + 1
  const store = worker.local ?? world.store
  if (number > rules.inputs) return
  const token = `${number}${name}${protocol.epoch}`
  if (rules.sendFirst && worker.early !== token) {
    const messages = outputsOf([{ token, epoch: protocol.epoch }], number).map(output => ({ ...output, relayer: 0 }))
    return change(`publishes ${token}`, { ...worker, early: token }, sending(world, messages))
  }
  const pending = feed(worker, { type: 'commit-due', token })
  if (!rules.takes(store, protocol.epoch, number))
    // It may go on sending what it holds: a zombie.
    return change(`is fenced with ${token}`, feed(pending, { type: 'appended', outcome: 'fenced' }))
  const committed: Commit = { token, epoch: protocol.epoch }
  const commits = [...store.commits]
  commits[number - 1] = committed
  const relayed = Math.max(store.relayed, relayedBy(worker, number - 1))
  const next = { ...store, commits, relayed }
  const unsent = [...worker.unsent, ...outputsOf([committed], number)]
  const after = { ...feed(pending, { type: 'appended', outcome: 'ok' }), unsent }
  if (worker.local) change(`commits ${token} in its own store`, { ...after, local: next })
  else change(`commits ${token}`, after, { store: next })
}

/** Every output up to some commit is sent, as far as the worker knows. */
function relayedBy(worker: Worker, committed: number): number {
  return worker.unsent.reduce((least, { token }) => Math.min(least, Number(token[0]) - 1), committed)
}

function relay(rules: Rules, world: World, worker: Worker, change: Change): void {
  // Per partition in order; the partitions as they like.
  for (const partition of [0, 1]) {
    const at = worker.unsent.findIndex(output => output.partition === partition)
    const output = worker.unsent[at]
    if (!output) continue
    // Who relays matters to nobody else: what is in the channel already need not be sent again.
    const message = { ...output, relayer: rules.fence === 'relayer' ? epochOf(worker) : 0 }
    if (!world.channel.some(other => nameOf(other) === nameOf(message) && other.relayer === message.relayer))
      change(`sends ${nameOf(output)}`, worker, sending(world, [message]))
    if (world.sent.includes(nameOf(output)))
      change(`knows that ${nameOf(output)} is there`, { ...worker, unsent: without(worker.unsent, at) })
  }
  const { protocol } = worker
  if (protocol.phase !== 'running') return
  const store = worker.local ?? world.store
  const relayed = relayedBy(worker, protocol.commit)
  if (relayed <= store.relayed || (!worker.local && protocol.epoch !== world.store.epoch)) return
  if (worker.local) change(`forgets up to ${relayed}`, { ...worker, local: { ...store, relayed } })
  else change(`forgets up to ${relayed}`, worker, { store: { ...store, relayed } })
  if (worker.local) change('copies its store', worker, { store: { ...worker.local, epoch: world.store.epoch } })
}

function sending(world: World, messages: readonly Message[]): Partial<World> {
  const names = messages.map(nameOf)
  const channel = [...world.channel]
  for (const message of messages)
    if (!channel.some(other => JSON.stringify(other) === JSON.stringify(message))) channel.push(message)
  const key = (message: Message): string => `${nameOf(message)} ${message.relayer}`
  channel.sort((left, right) => (key(left) < key(right) ? -1 : 1))
  return { channel, sent: [...new Set([...world.sent, ...names])].sort() }
}

function deliver(rules: Rules, world: World, found: (readonly [string, World])[]): void {
  world.channel.forEach((message, at) => {
    const reader = world.readers[message.partition]!
    const next = read(rules, reader, message)
    const readers = replace(world.readers, message.partition, next)
    const dropped = next.got.length === reader.got.length ? ', dropped' : ''
    found.push([`${nameOf(message)} arrives${dropped}`, { ...world, readers, channel: without(world.channel, at) }])
    if (dropped === '') found.push([`${nameOf(message)} arrives, and will again`, { ...world, readers }])
  })
}

function read(rules: Rules, reader: Reader, message: Message): Reader {
  const { sequence, token } = message
  const epoch = rules.fence ? Math.max(reader.epoch, message[rules.fence]) : 0
  if (rules.fence && message[rules.fence] < reader.epoch) return reader
  const progress = new ProducerProgress(reader.progress)
  const known = rules.dedupe === 'processed' ? progress.has(sequence) : sequence <= progress.high
  if (known) return { ...reader, epoch }
  if (rules.dedupe === 'processed') progress.processed(sequence, undefined)
  else progress.skipTo(sequence)
  const got = [...reader.got, { sequence, token }].sort((left, right) => left.sequence - right.sequence)
  return { progress: progress.snapshot(), epoch, got }
}
