import type { ProtocolEffect, ProtocolEvent, ProtocolState } from '../../src/exactly-once/protocol.ts'
import { canonical, nobody, stillWaits, withWorker, type Append, type Rules, type Worker, type World } from './world.ts'

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
