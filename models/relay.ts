import { idle, step, type ProtocolEvent, type ProtocolState } from '../src/exactly-once/protocol.ts'
import { modelsOf, type Model } from './model.ts'

/**
 * Commits in a store, and a relay that sends their outputs in transactions of the task's producer, each with a marker that
 * says how far it has come (`src/pipeline/relay-transactions.ts`). Two workers of one task: either may crash, or go on as a
 * zombie. `EndTxn` may be late. A reader without this library sees what is committed, and must see each output once.
 * Appends are one step here (their network is in the commit models).
 */
interface Open {
  readonly outputs: readonly string[]
  readonly marker: number | null
}

interface Broker {
  readonly epoch: number
  readonly open: Open | null
  /** What a reader with `read_committed` sees. */
  readonly log: readonly string[]
  readonly marker: number
}

interface Store {
  readonly epoch: number
  readonly commits: readonly string[]
  /** All outputs of commits up to here are sent, and forgotten. */
  readonly relayed: number
}

interface Relay {
  /** `saw`: it has read the marker before it has a producer, which is the wrong order. */
  readonly phase: 'none' | 'saw' | 'opened' | 'ready' | 'written' | 'ended'
  /** Of its producer. */
  readonly epoch: number
  /** Outputs of commits up to here are sent, as far as it knows. */
  readonly sent: number
  /** Of the transaction under way. */
  readonly upTo: number
}

interface Worker {
  readonly protocol: ProtocolState
  /** Tokens of the commits that it has read or made; those that were forgotten are left out. */
  readonly known: readonly string[]
  readonly relay: Relay
}

interface EndTransaction {
  readonly worker: number
  readonly epoch: number
  readonly upTo: number
}

interface World {
  readonly store: Store
  readonly broker: Broker
  readonly workers: readonly Worker[]
  readonly network: readonly EndTransaction[]
}

interface Rules {
  readonly inputs: number
  /** Lives of the task, and producers that are opened in all. */
  readonly epochs: number
  readonly producers: number
  readonly readFirst: boolean
  /** The marker is written once its transaction is known to be committed. */
  readonly markerApart: boolean
  /** After an unclear end the same is sent again, under the same producer. */
  readonly blind: boolean
  /** What the marker says is not looked at. */
  readonly skipsNothing: boolean
}

const closed: Relay = { phase: 'none', epoch: 0, sent: 0, upTo: 0 }
const nobody: Worker = { protocol: idle, known: [], relay: closed }
const start: World = {
  store: { epoch: 0, commits: [], relayed: 0 },
  broker: { epoch: 0, open: null, log: [], marker: 0 },
  workers: [nobody, nobody],
  network: []
}

const replace = <Item>(items: readonly Item[], at: number, item: Item): Item[] =>
  items.map((old, index) => (index === at ? item : old))
const feed = (protocol: ProtocolState, event: ProtocolEvent): ProtocolState => step(protocol, event)[0]

type Found = (readonly [string, World])[]
type Change = (what: string, next: Worker, rest?: Partial<World>) => void

function successors(rules: Rules, world: World): Found {
  const found: Found = []
  world.workers.forEach((worker, index) => {
    const name = 'AB'[index]!
    const change: Change = (what, next, rest = {}) =>
      void found.push([`${name} ${what}`, { ...world, ...rest, workers: replace(world.workers, index, next) }])
    if (worker.protocol.phase === 'idle') return acquire(rules, world, change)
    change('crashes', nobody)
    commit(rules, world, worker, name, change)
    relay(rules, world, worker, index, change)
  })
  arrive(rules, world, found)
  return found.map(([name, next]) => [name, canonical(next)] as const)
}

/** Ends that can do nothing any more are left out. */
function canonical(world: World): World {
  const keys = world.network.flatMap(end => (end.epoch === world.broker.epoch ? [JSON.stringify(end)] : []))
  return { ...world, network: keys.sort().map(key => JSON.parse(key) as EndTransaction) }
}

/** First the epoch of the store, then its last commit and what may not have been sent. */
function acquire({ epochs }: Rules, { store }: World, change: Change): void {
  if (store.epoch >= epochs) return
  const next = { ...store, epoch: store.epoch + 1 }
  const event = { type: 'acquired', epoch: next.epoch, commit: store.commits.length } as const
  const protocol = feed(feed(idle, { type: 'assigned' }), event)
  change('acquires', { protocol, known: store.commits, relay: { ...closed, sent: store.relayed } }, { store: next })
}

function commit({ inputs }: Rules, { store }: World, worker: Worker, name: string, change: Change): void {
  const { protocol, known } = worker
  if (protocol.phase !== 'running' || protocol.commit >= inputs) return
  const token = `${protocol.commit + 1}${name}${protocol.epoch}`
  const pending = feed(protocol, { type: 'commit-due', token })
  // It hears that it was fenced: this life ends, and what it has under way stays under way.
  if (protocol.epoch !== store.epoch) return change('is fenced by the store', nobody)
  const relayed = Math.max(store.relayed, worker.relay.sent)
  change(
    `commits ${token}`,
    { ...worker, protocol: feed(pending, { type: 'appended', outcome: 'ok' }), known: [...known, token] },
    { store: { ...store, commits: [...store.commits, token], relayed } }
  )
}

function relay(rules: Rules, { broker, network }: World, worker: Worker, index: number, change: Change): void {
  const { relay, known } = worker
  const now = (next: Partial<Relay>): Worker => ({ ...worker, relay: { ...relay, ...next } })
  const waits = relay.sent < known.length
  const canOpen = broker.epoch < rules.producers
  const sentBy = (marker: number): number => (rules.skipsNothing ? relay.sent : Math.max(relay.sent, marker))
  // A new producer fences the one before, and ends what that has left open.
  const opened = { ...broker, epoch: broker.epoch + 1, open: null }
  if (relay.phase === 'none' && waits && rules.readFirst)
    change('reads the marker', now({ phase: 'saw', sent: sentBy(broker.marker) }))
  else if (relay.phase === 'none' && waits && canOpen)
    change('opens a producer', now({ phase: 'opened', epoch: opened.epoch }), { broker: opened })
  else if (relay.phase === 'saw' && canOpen)
    change('opens a producer', now({ phase: 'ready', epoch: opened.epoch }), { broker: opened })
  else if (relay.phase === 'opened' && broker.open === null)
    // More than it knows: somebody else has the task.
    change(
      'reads the marker',
      broker.marker > known.length ? nobody : now({ phase: 'ready', sent: sentBy(broker.marker) })
    )
  else if (relay.phase === 'ready' && waits) {
    if (relay.epoch !== broker.epoch) return change('is fenced by the broker', nobody)
    const before = broker.open ?? { outputs: [], marker: null }
    const outputs = [...before.outputs, ...known.slice(relay.sent)]
    const open: Open = { outputs, marker: rules.markerApart ? before.marker : known.length }
    change(`writes up to ${known.length}`, now({ phase: 'written', upTo: known.length }), {
      broker: { ...broker, open }
    })
  } else if (relay.phase === 'written')
    change('ends it', now({ phase: 'ended' }), {
      network: [...network, { worker: index, epoch: relay.epoch, upTo: relay.upTo }]
    })
  else if (relay.phase === 'ended')
    change('hears nothing', now(rules.blind ? { phase: 'ready' } : { phase: 'none', epoch: 0 }))
  if (rules.markerApart && relay.phase === 'ready' && relay.sent > broker.marker && relay.epoch === broker.epoch)
    change('writes the marker', worker, { broker: { ...broker, marker: relay.sent } })
}

function arrive(rules: Rules, world: World, found: Found): void {
  world.network.forEach((end, at) => {
    const { broker, workers } = world
    const network = world.network.filter((_, index) => index !== at)
    const { open } = broker
    const isGood = end.epoch === broker.epoch && open !== null
    const next: Broker = isGood
      ? { ...broker, open: null, log: [...broker.log, ...open.outputs], marker: open.marker ?? broker.marker }
      : broker
    found.push([`the end of ${end.upTo} arrives`, { ...world, broker: next, network }])
    const worker = workers[end.worker]!
    const { relay } = worker
    if (!isGood || relay.phase !== 'ended' || relay.epoch !== end.epoch || relay.upTo !== end.upTo) return
    const told: Worker = { ...worker, relay: { ...relay, phase: 'ready', sent: end.upTo } }
    found.push([
      `the end of ${end.upTo} arrives, and its answer`,
      { ...world, broker: next, network, workers: replace(workers, end.worker, told) }
    ])
  })
}

function violation(_: Rules, { store, broker, workers }: World): string | undefined {
  const { log } = broker
  if (new Set(log).size < log.length) return `DUPLICATE ${log.join(' ')}`
  if (log.some((token, at) => token !== store.commits[at]))
    return `LOST there is ${log.join(' ')}, committed is ${store.commits.join(' ')}`
  const told = Math.max(store.relayed, ...workers.map(({ relay }) => relay.sent))
  return told > log.length ? `LOST ${told} are told to be sent, there are ${log.length}` : undefined
}

const relayModel = modelsOf<Rules, World>({
  rules: {
    inputs: 2,
    epochs: 2,
    producers: 3,
    readFirst: false,
    markerApart: false,
    blind: false,
    skipsNothing: false
  },
  start: () => start,
  successors,
  violation,
  isGoal: ({ inputs }, { broker }) => broker.log.length === inputs
})

export const relayModels: readonly Model[] = [
  relayModel('T0', 'a relay in transactions: the producer, then the marker, which is in the transaction', 'ok', {}),
  relayModel('T0.3', 'the same, more lives and producers', 'ok', { epochs: 3, producers: 4 }, true),
  relayModel('T1', 'the marker is read before the producer is there', /DUPLICATE/, { readFirst: true }),
  relayModel('T2', 'the marker is written after its transaction', /DUPLICATE/, { markerApart: true }),
  relayModel('T3', 'after an unclear end the same is sent again by the same producer', /DUPLICATE/, { blind: true }),
  relayModel('T4', 'what the marker says is sent is sent again', /DUPLICATE/, { skipsNothing: true })
]
