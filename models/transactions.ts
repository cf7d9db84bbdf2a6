import { idle, step, type ProtocolEvent, type ProtocolState } from '../src/exactly-once/protocol.ts'
import { modelsOf, type Model } from './model.ts'

/**
 * Commits in transactions of a broker, as Kafka has them: a producer per task whose epoch fences the one before, records that
 * belong to whatever transaction is open, and an `EndTxn` that may be late: it ends what is open then. Two workers run the
 * production reducer; a transaction is an output and the head of the commit.
 */
interface Open {
  readonly outputs: readonly string[]
  readonly heads: readonly string[]
}

interface Broker {
  readonly epoch: number
  /** The epoch of the last transaction that was committed, where each commit raises it (KIP-890 part 2). */
  readonly ended: number
  readonly open: Open | null
  readonly outputs: readonly string[]
  readonly heads: readonly string[]
}

interface Worker {
  readonly protocol: ProtocolState
  /** Of its producer. */
  readonly epoch: number
  /** Commits that it read before its producer was there: the wrong order. */
  readonly saw: number | null
  /** How far its transaction is: records, head, `EndTxn` sent. */
  readonly done: 0 | 1 | 2 | 3
  readonly retries: number
}

interface EndTransaction {
  readonly worker: number
  readonly epoch: number
  readonly token: string
}

interface World {
  readonly broker: Broker
  readonly workers: readonly Worker[]
  readonly network: readonly EndTransaction[]
}

interface Rules {
  readonly inputs: number
  readonly epochs: number
  /** Each commit raises the epoch. */
  readonly raises: boolean
  readonly readFirst: boolean
  /** An `EndTxn` without an answer is sent again, and the next transaction goes on under the same producer. */
  readonly retry: boolean
}

const nobody: Worker = { protocol: idle, epoch: 0, saw: null, done: 0, retries: 0 }
const start: World = {
  broker: { epoch: 0, ended: 0, open: null, outputs: [], heads: [] },
  workers: [nobody, nobody],
  network: []
}

const replace = <Item>(items: readonly Item[], at: number, item: Item): Item[] =>
  items.map((old, index) => (index === at ? item : old))
const feed = (worker: Worker, event: ProtocolEvent): Worker => ({
  ...worker,
  protocol: step(worker.protocol, event)[0]
})
/** A new producer ends what the one before has left open. */
const begin = (broker: Broker): Broker => ({ ...broker, epoch: broker.epoch + 1, open: null })

function successors(rules: Rules, world: World): (readonly [string, World])[] {
  const found: (readonly [string, World])[] = []
  const { broker } = world
  world.workers.forEach((worker, index) => {
    const name = 'AB'[index]!
    const change = (what: string, next: Worker, rest: Partial<World> = {}): void =>
      void found.push([`${name} ${what}`, { ...world, ...rest, workers: replace(world.workers, index, next) }])
    const { protocol } = worker
    if (protocol.phase !== 'idle') change('crashes', nobody)
    if (protocol.phase === 'idle' && rules.readFirst && worker.saw === null)
      change('reads the end', { ...worker, saw: broker.heads.length })
    else if (protocol.phase === 'idle' && broker.epoch < rules.epochs) {
      const next = begin(broker)
      const commit = worker.saw ?? broker.heads.length
      const acquired = feed(feed(worker, { type: 'assigned' }), { type: 'acquired', epoch: next.epoch, commit })
      change('begins', { ...acquired, epoch: next.epoch, saw: null }, { broker: next })
    }
    if (protocol.phase === 'running' && protocol.commit < rules.inputs) {
      const token = `${protocol.commit + 1}${name}${worker.epoch}`
      change(`makes ${token}`, { ...feed(worker, { type: 'commit-due', token }), done: 0, retries: 0 })
    }
    if (protocol.phase === 'committing') produce(rules, world, worker, index, protocol.token, change)
    if (protocol.phase === 'reading-back' && broker.epoch < rules.epochs) {
      const next = begin(broker)
      const event = {
        type: 'read-back',
        epoch: next.epoch,
        commit: broker.heads.length,
        token: broker.heads.at(-1)
      } as const
      change(
        'begins anew and reads back',
        { ...feed(worker, event), epoch: next.epoch, done: 0, retries: 0 },
        { broker: next }
      )
    }
  })
  arrive(rules, world, found)
  return found.map(([name, next]) => [name, canonical(rules, next)] as const)
}

/** Ends that can do nothing any more are left out. */
function canonical(rules: Rules, world: World): World {
  const oldest = world.broker.epoch - (rules.raises ? 1 : 0)
  const keys = world.network.flatMap(end => (end.epoch >= oldest ? [JSON.stringify(end)] : []))
  return { ...world, network: keys.sort().map(key => JSON.parse(key) as EndTransaction) }
}

type Change = (what: string, next: Worker, rest?: Partial<World>) => void

function produce(rules: Rules, world: World, worker: Worker, index: number, token: string, change: Change): void {
  const { broker, network } = world
  const end = { worker: index, epoch: worker.epoch, token }
  if (worker.done < 2) {
    if (worker.epoch !== broker.epoch) return change('is fenced', feed(worker, { type: 'appended', outcome: 'fenced' }))
    const { outputs, heads } = broker.open ?? { outputs: [], heads: [] }
    const open: Open =
      worker.done === 0 ? { outputs: [...outputs, token], heads } : { outputs, heads: [...heads, token] }
    change(
      worker.done === 0 ? `writes ${token}` : 'writes the head',
      { ...worker, done: worker.done === 0 ? 1 : 2 },
      { broker: { ...broker, open } }
    )
  } else if (worker.done === 2) change('ends it', { ...worker, done: 3 }, { network: [...network, end] })
  else if (!rules.retry) change('hears nothing', feed(worker, { type: 'appended', outcome: 'unknown' }))
  else if (worker.retries < 1) change('ends it again', { ...worker, retries: 1 }, { network: [...network, end] })
}

function arrive(rules: Rules, world: World, found: (readonly [string, World])[]): void {
  world.network.forEach((end, at) => {
    const { broker } = world
    const network = world.network.filter((_, index) => index !== at)
    const { epoch, token } = end
    let next = broker
    let good = false
    if (epoch === broker.epoch && broker.open) {
      const { outputs, heads } = broker.open
      next = {
        ...broker,
        open: null,
        outputs: [...broker.outputs, ...outputs],
        heads: [...broker.heads, ...heads],
        ended: epoch
      }
      if (rules.raises) next = { ...next, epoch: broker.epoch + 1 }
      good = true
      // The coordinator knows the transaction that it has just committed when its end is asked for again.
    } else if (rules.raises && epoch === broker.ended && epoch === broker.epoch - 1) good = true
    const worker = world.workers[end.worker]!
    const waits = worker.protocol.phase === 'committing' && worker.protocol.token === token && worker.done === 3
    if (good && waits) {
      const told = { ...feed(worker, { type: 'appended', outcome: 'ok' }), ...(rules.raises && { epoch: next.epoch }) }
      const workers = replace(world.workers, end.worker, told)
      found.push([`the end of ${token} arrives, and its answer`, { broker: next, workers, network }])
    }
    found.push([`the end of ${token} arrives`, { ...world, broker: next, network }])
  })
}

function violation(world: World): string | undefined {
  const { outputs, heads } = world.broker
  const inputs = outputs.map(token => token[0])
  if (new Set(inputs).size < inputs.length) return `DUPLICATE ${outputs.join(' ')}`
  if (outputs.join() !== heads.join()) return `TORN outputs ${outputs.join(' ')}, heads ${heads.join(' ')}`
  if (inputs.some((input, at) => Number(input) !== at + 1)) return `LOST ${outputs.join(' ')}`
  for (const { protocol } of world.workers)
    if (protocol.phase === 'running' && protocol.commit > heads.length)
      return `LOST a worker believes in ${protocol.commit} commits, there are ${heads.length}`
  return undefined
}

const transactionModel = modelsOf<Rules, World>({
  rules: { inputs: 2, epochs: 3, raises: false, readFirst: false, retry: false },
  start: () => start,
  successors,
  violation: (_, world) => violation(world),
  isGoal: ({ inputs }, { broker }) => broker.heads.length === inputs
})

export const transactionModels: readonly Model[] = [
  transactionModel(
    'R0',
    'first the new producer, then the end of the changelog; after an unclear end a new producer',
    'ok',
    {}
  ),
  transactionModel('R0.3', 'the same, three commits and more producers', 'ok', { inputs: 3, epochs: 4 }, true),
  transactionModel('R4', 'as R0, and each commit raises the epoch (KIP-890 part 2)', 'ok', { raises: true, epochs: 4 }),
  transactionModel('R3', 'an unclear end is asked for again, each commit raises the epoch', 'ok', {
    raises: true,
    retry: true,
    epochs: 4
  }),
  transactionModel('R1', 'the changelog is read before the new producer is there', /DUPLICATE|TORN|LOST/, {
    readFirst: true
  }),
  transactionModel(
    'R2',
    'an unclear end is asked for again, the next transaction under the same epoch',
    /TORN|DUPLICATE|LOST/,
    { retry: true }
  )
]
