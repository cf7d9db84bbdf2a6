import { step } from '../../src/exactly-once/protocol.ts'
import { nextOf } from '../../src/pipeline/state-loader.ts'
import type { TaskState } from '../../src/state/index.ts'
import { keys, lifetime, look, nothing, open, read, rowOf, slotName, written, type Rows } from './memory.ts'
import { expectedAt, feed, nobody, watermarkAt, type Question, type Rules, type Worker, type World } from './world.ts'

type Successor = readonly [name: string, world: World]
type Add = (what: string, worker: Worker, rest?: Partial<World>) => void

export function successors(rules: Rules, world: World): readonly Successor[] {
  const found: Successor[] = []
  world.workers.forEach((worker, index) => {
    const others = (next: Worker): readonly [Worker, Worker] =>
      index === 0 ? [next, world.workers[1]] : [world.workers[0], next]
    const add: Add = (what, next, rest = {}) =>
      void found.push([`${'AB'[index]} ${what}`, canonical({ ...world, ...rest, workers: others(next) })])
    const { phase } = worker.protocol
    if (phase === 'idle' || phase === 'acquiring') acquire(rules, world, worker, add)
    if (phase !== 'idle') add('crashes', nobody)
    if (phase === 'running') add('loses the task', ended(rules, worker))
    if (phase === 'running') run(rules, world, worker, add)
    if (phase === 'committing') append(rules, world, worker, add)
    if (phase === 'reading-back') readBack(rules, world, worker, add)
    worker.asked.forEach((question, at) => answer(rules, world, worker, question, at, add))
  })
  return found
}

/** Workers are alike. */
function canonical(world: World): World {
  const [left, right] = world.workers
  return JSON.stringify(left) > JSON.stringify(right) ? { ...world, workers: [right, left] } : world
}

/** The life is over: nothing of it is left in memory. */
function ended(rules: Rules, { memory, asked }: Worker): Worker {
  return {
    ...nobody,
    ...(rules.late === 'used' && { asked }),
    ...(rules.newLife === 'kept' && Object.values(memory.cells).every(({ dirty }) => !dirty) && { kept: memory })
  }
}

function acquire(rules: Rules, world: World, worker: Worker, add: Add): void {
  if (world.epoch >= rules.epochs) return
  if (rules.fence !== 'first' && !worker.early)
    return add('reads the rows', { ...feed(worker, { type: 'assigned' }), early: world.rows })
  const epoch = world.epoch + 1
  const { early, kept, ...rest } = worker
  const assigned = worker.protocol.phase === 'idle' ? feed(rest, { type: 'assigned' }) : rest
  const acquired = { ...feed(assigned, { type: 'acquired', epoch, commit: world.number }), next: world.next }
  const next: Worker = early
    ? { ...acquired, memory: loaded(rules, early) }
    : kept
      ? { ...acquired, memory: kept }
      : { ...acquired, restoring: '' }
  add('raises the epoch', next, { epoch })
}

function loaded(rules: Rules, rows: Rows): Worker['memory'] {
  const state = open(nothing, rules.lives)
  for (const [key, row] of Object.entries(rows)) state.load(rowOf(key, row, rules.lives))
  return look(state, rules.lives)
}

const changed = (rules: Rules, worker: Worker, change: (state: TaskState) => void, first?: string): Worker => {
  const state = open(worker.memory, rules.lives, first)
  change(state)
  return { ...worker, memory: look(state, rules.lives) }
}

function run(rules: Rules, world: World, worker: Worker, add: Add): void {
  const { protocol, restoring, asked, next } = worker
  if (protocol.phase !== 'running') return
  const ask = (question: Pick<Question, 'kind' | 'keys'>): Worker => ({
    ...worker,
    asked: [...asked, { ...question, epoch: protocol.epoch }]
  })
  if (restoring !== undefined) {
    if (asked.length === 0) add(`asks for the page from '${restoring}'`, ask({ kind: 'page', keys: [restoring] }))
    return
  }
  if (rules.waits ? asked.length > 0 : asked.length > 1) return
  const input = rules.inputs[next]
  if (input) {
    const missing = missingOf(rules, worker, [input.key])
    if (missing.length === 0 || (rules.fetches === 'once' && next % 2 === 1)) handle(rules, worker, add)
    else {
      // Those of the whole batch.
      const batch = missingOf(
        rules,
        worker,
        rules.inputs.slice(next, next + 2).map(({ key }) => key)
      )
      add(`asks for ${batch}`, ask({ kind: 'find', keys: batch }))
    }
  }
  commit(rules, worker, world.next, add)
  for (const first of keys)
    add(
      `lets go, ${first} first`,
      changed(rules, worker, state => letGo(rules, state), first)
    )
  if (!rules.lives) return
  const time = watermarkAt(rules, next) + (rules.sweeps === 'clock' ? lifetime : 0)
  add(
    'sweeps its memory',
    changed(rules, worker, state => state.sweep(time))
  )
  if (!worker.memory.complete) add('asks for a page to sweep', ask({ kind: 'sweep', keys: [] }))
}

function letGo(rules: Rules, state: TaskState): void {
  if (rules.letsGo === 'anything') state.committed()
  state.limit = state.bytes - 1
  state.evict()
}

/** The keys that must be fetched before they are looked at. */
function missingOf(rules: Rules, worker: Worker, wanted: readonly string[]): string[] {
  const { memory, absent = [] } = worker
  const missing = [
    ...new Set(
      open(memory, rules.lives)
        .missing(wanted)
        .map(({ key }) => key)
    )
  ].sort()
  return rules.absent === 'list' ? missing.filter(key => !absent.includes(key)) : missing
}

function handle(rules: Rules, worker: Worker, add: Add): void {
  const { next, absent = [] } = worker
  const { key, time, does } = rules.inputs[next]!
  const watermark = watermarkAt(rules, next)
  const now = rules.judges === 'watermark' ? Math.max(time, watermark) : time
  const right = expectedAt(rules, next, key, Math.max(time, watermark))
  try {
    const state = open(worker.memory, rules.lives)
    if (absent.includes(key)) state.fetched([{ slot: slotName(rules.lives), key }], [])
    // It fails the first time: nothing of that is left.
    state.begin(Buffer.from(key), now)
    state.handles['s']!.set('never')
    state.rollback()
    const value = read(state, key, now)
    if (value !== right) {
      const failure = `STALE input ${next} of ${key} saw ${value}, right is ${right}`
      return add(`handles ${next}`, worker, { failure })
    }
    if (does === 'add') state.handles['s']!.set(`${value ?? ''}${next}`)
    else state.handles['s']!.delete()
    add(`handles ${next}`, { ...worker, next: next + 1, memory: look(state, rules.lives) })
  } catch (error) {
    add(`handles ${next}`, worker, { failure: `UNFETCHED ${String(error)}` })
  }
}

function commit(rules: Rules, worker: Worker, committed: number, add: Add): void {
  const { protocol, next, memory } = worker
  if (protocol.phase !== 'running' || (next === committed && Object.values(memory.cells).every(({ dirty }) => !dirty)))
    return
  const changes = open(memory, rules.lives).changes()
  const pending = { next, rows: written({}, changes), changed: changes.map(({ key }) => key).sort() }
  const sent = feed({ ...worker, pending }, { type: 'commit-due', token: `${protocol.epoch}.${protocol.commit + 1}` })
  add('commits', rules.clean === 'sent' ? changed(rules, sent, state => state.committed()) : sent)
}

function applied(rules: Rules, worker: Worker, event: Parameters<typeof step>[1]): Worker {
  const { pending: _, ...rest } = feed(worker, event)
  return changed(rules, rest, state => state.committed())
}

/** One conditional write, and what becomes of its answer. */
function append(rules: Rules, world: World, worker: Worker, add: Add): void {
  const { protocol, pending } = worker
  if (protocol.phase !== 'committing') return
  const unclear = feed(worker, { type: 'appended', outcome: 'unknown' })
  add('sends a commit that is lost', unclear)
  if (protocol.epoch !== world.epoch || protocol.commit !== world.number + 1) {
    add('is fenced', ended(rules, worker))
    return
  }
  const kept = Object.fromEntries(Object.entries(world.rows).filter(([key]) => !pending!.changed.includes(key)))
  const rows = Object.fromEntries(Object.entries({ ...kept, ...pending!.rows }).sort())
  const store = { number: protocol.commit, token: protocol.token, next: pending!.next, rows }
  add('has committed', applied(rules, worker, { type: 'appended', outcome: 'ok' }), store)
  add('has committed, and does not know', unclear, store)
}

function readBack(rules: Rules, world: World, worker: Worker, add: Add): void {
  const { protocol } = worker
  if (protocol.phase !== 'reading-back') return
  if (protocol.epoch !== world.epoch) return add('reads back: fenced', ended(rules, worker))
  const event = { type: 'read-back', epoch: protocol.epoch, commit: world.number, token: world.token } as const
  if (world.token === protocol.token) return add('reads back: it is there', applied(rules, worker, event))
  const again = feed(worker, event)
  // The same commit, byte for byte; the mutant asks for the changes anew.
  const pending = rules.clean === 'sent' ? { next: worker.next, rows: {}, changed: [] } : worker.pending!
  add('reads back: it is not there', { ...again, pending })
}

/** The store looks, or what it saw arrives. */
function answer(rules: Rules, world: World, worker: Worker, question: Question, at: number, add: Add): void {
  const asked = worker.asked.filter((_, index) => index !== at)
  if (question.answer === undefined) {
    const seen: Rows | 'fenced' =
      rules.bound && question.epoch !== world.epoch ? 'fenced' : rowsFor(question, world.rows)
    const now = worker.asked.map((other, index) => (index === at ? { ...other, answer: seen } : other))
    return add(`${question.kind} ${question.keys} is answered`, { ...worker, asked: now })
  }
  if (worker.protocol.phase !== 'running') return
  const rest = { ...worker, asked }
  if (question.answer === 'fenced' && rules.refused === 'ends')
    return add(`${question.kind} is refused`, ended(rules, rest))
  const found = question.answer === 'fenced' ? {} : question.answer
  add(`${question.kind} ${question.keys} arrives`, take(rules, rest, question, found))
}

/** Pages have one row at most. */
function rowsFor({ kind, keys: wanted }: Question, rows: Rows): Rows {
  if (kind === 'sweep') return rows
  const all = Object.entries(rows)
  if (kind === 'find') return Object.fromEntries(all.filter(([key]) => wanted.includes(key)))
  return Object.fromEntries(all.filter(([key]) => key >= wanted[0]!).slice(0, 1))
}

function take(rules: Rules, worker: Worker, { kind, keys: wanted }: Question, found: Rows): Worker {
  const { lives } = rules
  const rows = Object.entries(found).map(([key, row]) => rowOf(key, row, lives))
  const none = wanted.filter(key => !found[key])
  if (kind === 'sweep') {
    const time = watermarkAt(rules, worker.next) + (rules.sweeps === 'clock' ? lifetime : 0)
    return changed(rules, worker, state => state.sweepRows(rows, time))
  }
  if (kind === 'find') {
    const places = wanted.map(key => ({ slot: slotName(lives), key }))
    const next = changed(rules, worker, state => state.fetched(places, rows))
    return rules.absent === 'list'
      ? { ...next, absent: [...new Set([...(worker.absent ?? []), ...none])].sort() }
      : next
  }
  const { restoring: _, ...rest } = worker
  const state = open(worker.memory, lives)
  for (const row of rows) state.load(row)
  state.limit = rules.small ? 1 : Infinity
  const claims = { full: state.full, cutShort: () => {} }
  const from = nextOf(rows, 1, rules.cutShort === 'told' ? state : claims, () => true)
  const memory = look(state, lives)
  return from?.slot === slotName(lives) ? { ...rest, memory, restoring: from.key } : { ...rest, memory }
}
