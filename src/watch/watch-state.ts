import {
  Clocks,
  isOverdue,
  noCounts,
  silence,
  skewed,
  stageOf,
  TroubleBook,
  type Counts,
  type Finding,
  type Holder,
  type StageHealth,
  type Vitals
} from '../watermark/index.ts'
import { Receipts } from './receipts.ts'
import type { Alert, LifeState, Snapshot, StageState, TaskState } from './snapshot.ts'

/** How the clocks here read at one moment. */
export interface Moment {
  readonly now: number
  readonly monotonic: number
}

/** A report, as it came. */
export interface Heard {
  readonly vitals: Vitals
  readonly broker: string
  /** How long ago it was said, ms; 0 when its producer says it itself. */
  readonly age: number
  /** `false`: the past is being read, so its coming is no sign of life. */
  readonly live: boolean
}

interface Known {
  readonly vitals: Vitals
  readonly broker: string
  /** Monotonic ms. */
  readonly heardAt: number
  /** ms since the epoch: of what was said before we came, by the clock of who said it. */
  readonly wallAt: number
}

/** Most topics of a task that are remembered from other brokers than the one that spoke last. */
const mostOutputs = 100

export interface WatchLimits {
  /** Most tasks and plain producers that are remembered. */
  readonly most: number
  /** Stages that should be there. */
  readonly expect: readonly string[]
}

/**
 * What is known of everything that reports: a reducer over reports and a clock. It never asks anybody, so it goes on when nobody is
 * left to answer. Pure and bounded.
 */
export class WatchState {
  malformed: number = 0
  readonly #limits: WatchLimits
  readonly #known = new Map<string, Known>()
  readonly #clocks = new Clocks()
  readonly #receipts = new Receipts()
  readonly #book = new TroubleBook()
  /** Broker -> since when it does not answer, and what it said. */
  readonly #unreachable = new Map<string, { readonly since: number; readonly error: string }>()
  readonly #startedAt: number
  #forgotten = 0

  constructor(limits: WatchLimits, { now }: Moment) {
    this.#limits = limits
    this.#startedAt = now
  }

  heard({ vitals, broker, age, live }: Heard, moment: Moment): void {
    const { now, monotonic } = moment
    this.#receipts.take(vitals)
    if (live && age === 0) this.#clocks.heard(vitals, moment)
    const known = this.#known.get(vitals.task)
    const alive = live || !known || (vitals.health?.at ?? 0) > (known.vitals.health?.at ?? 0)
    const heardAt = alive ? Math.max(monotonic - age, known?.heardAt ?? -Infinity) : known.heardAt
    const wallAt = !alive ? known.wallAt : live ? now - age : (vitals.health?.at ?? now)
    const newest = newestOf(known, vitals, monotonic)
    if (newest === known?.vitals && !live) return
    this.#known.delete(vitals.task) // the last heard is last
    this.#known.set(vitals.task, { vitals: newest, broker, heardAt, wallAt })
    if (this.#known.size > this.#limits.most) this.#forgetOne()
  }

  /** A broker does not answer; `undefined`: it does again. */
  reachable(broker: string, error: string | undefined, { now }: Moment): void {
    if (error === undefined) this.#unreachable.delete(broker)
    else {
      this.#unreachable.set(broker, { since: this.#unreachable.get(broker)?.since ?? now, error })
      // What comes next has been waiting: it says nothing of clocks.
      this.#clocks.forget()
    }
  }

  snapshot(moment: Moment): Snapshot {
    this.#lift(moment)
    const overdue = new Map<string, Known>()
    for (const [task, known] of this.#known) if (this.#isSilent(known, moment)) overdue.set(task, known)
    const byStage = Map.groupBy(this.#known.values(), ({ vitals }) => stageOf(vitals.task))
    const stages = [...byStage]
      .map(([stage, all]) => stageState(stage, all, overdue))
      .sort((left, right) => (left.stage < right.stage ? -1 : 1))
    const watermarks = new Map(stages.map(({ stage, watermark }) => [stage, watermark]))
    const { receipts, short } = this.#receipts.snapshot(stage => watermarks.get(stage) ?? -Infinity, moment.monotonic)
    const alerts = this.#alerts(stages)
    for (const [receipt, since] of short)
      alerts.push({ kind: 'short', receipt, since: Math.round(moment.now - (moment.monotonic - since)) })
    return {
      at: moment.now,
      stages,
      troubles: this.#book.note(this.#troubles(stages, overdue, moment), moment.now),
      alerts,
      receipts,
      malformed: this.malformed,
      forgotten: this.#forgotten
    }
  }

  /** Of one who reports where nothing is heard, nothing is known. */
  #isSilent({ vitals, broker, heardAt }: Known, { monotonic }: Moment): boolean {
    return !this.#unreachable.has(broker) && isOverdue(vitals, heardAt, monotonic)
  }

  #troubles(stages: readonly StageState[], overdue: ReadonlyMap<string, Known>, moment: Moment): Finding[] {
    const found = new Map<string, Finding>()
    const add = (finding: Finding): void => {
      const key = `${finding.cause} ${finding.stage}`
      if (!found.has(key)) found.set(key, finding)
    }
    for (const { task, heardAt } of stages.flatMap(({ tasks }) => tasks.filter(({ state }) => state === 'silent')))
      add({ stage: stageOf(task), cause: 'silent', since: heardAt, hops: 0 })
    const gone = new Set(stages.flatMap(({ stage, state }) => (state === 'silent' ? stage : [])))
    const clocks = new Map<string, StageHealth>()
    for (const [task, { vitals }] of this.#known) {
      if (overdue.has(task) || hasEnded(vitals)) continue
      const stage = stageOf(task)
      const ahead = this.#clocks.aheadOf(task, moment)
      if (ahead !== undefined && Math.abs(ahead) >= Math.abs(clocks.get(stage)?.ahead ?? 0))
        clocks.set(stage, { ahead } as StageHealth)
      // Each tells of itself; of others only what these cannot tell: that they are quiet.
      for (const trouble of vitals.health?.troubles ?? []) {
        const { cause, hops } = trouble
        if (cause === 'silent' || cause === 'skewed') continue // that is seen better from here
        if (cause === 'quiet' ? !gone.has(trouble.stage) : hops === 0 && trouble.stage === stage) add(trouble)
      }
    }
    for (const finding of skewed(undefined, clocks)) add(finding)
    return [...found.values()]
  }

  #alerts(stages: readonly StageState[]): Alert[] {
    const alerts: Alert[] = []
    for (const [broker, { since, error }] of this.#unreachable)
      alerts.push({ kind: 'unreachable', broker, since, error })
    for (const { stage, tasks } of stages) {
      const silent = tasks.filter(({ state }) => state === 'silent')
      if (silent.length > 0)
        alerts.push({
          kind: 'silent',
          stage,
          tasks: silent.map(({ task }) => task),
          since: Math.min(...silent.map(({ heardAt }) => heardAt))
        })
    }
    const there = new Set(stages.map(({ stage }) => stage))
    for (const stage of this.#limits.expect)
      if (!there.has(stage)) alerts.push({ kind: 'absent', stage, since: this.#startedAt })
    return alerts
  }

  /** A plain producer that crashed is gone for good: after a while nobody waits for it, and nobody need be told. */
  #lift({ monotonic }: Moment): void {
    for (const [task, { vitals, heardAt, broker }] of this.#known)
      if (!vitals.durable && monotonic - heardAt > silence && !this.#unreachable.has(broker)) {
        this.#known.delete(task)
        this.#clocks.drop(task)
      }
  }

  /** Who has ended, else who was heard longest ago. */
  #forgetOne(): void {
    let [gone] = this.#known.keys()
    for (const [task, { vitals }] of this.#known)
      if (hasEnded(vitals)) {
        gone = task
        break
      }
    this.#known.delete(gone!)
    this.#clocks.drop(gone!)
    this.#forgotten++
  }
}

const hasEnded = ({ state }: Vitals): boolean => state === 'closing' || state === 'left'

/** As a reader of watermarks takes it: an announcement says nothing of how far the task was, an earlier commit is a former owner's. */
function newestOf(known: Known | undefined, vitals: Vitals, monotonic: number): Vitals {
  if (known?.vitals.producer !== vitals.producer) return vitals
  if (vitals.state === 'joining')
    return { ...known.vitals, state: hasEnded(known.vitals) ? known.vitals.state : 'joining' }
  // Unless nobody else says anything: then its store was emptied, and it counts from 0.
  const abandoned = isOverdue(known.vitals, known.heardAt, monotonic)
  if (vitals.commit < known.vitals.commit && !abandoned) return known.vitals
  // Who writes to several brokers tells each of its own topics.
  const outputs = new Map([...known.vitals.outputs, ...vitals.outputs])
  return outputs.size > mostOutputs ? vitals : { ...vitals, outputs }
}

function stageState(stage: string, all: readonly Known[], overdue: ReadonlyMap<string, Known>): StageState {
  const tasks = all.map(known => taskState(known, overdue)).sort((left, right) => (left.task < right.task ? -1 : 1))
  const lowest = tasks.reduce((low, task) => (task.watermark < low.watermark ? task : low))
  const counts: Record<keyof Counts, number> = { ...noCounts }
  for (const task of tasks)
    for (const name of Object.keys(counts) as (keyof Counts)[]) counts[name] += task.counts[name]
  const names = (of: (vitals: Vitals) => Iterable<string>): string[] =>
    [...new Set(all.flatMap(({ vitals }) => [...of(vitals)]))].sort()
  return {
    stage,
    state: (['silent', 'joining', 'active', 'left', 'ended'] as const).find(state =>
      tasks.some(task => task.state === state)
    )!,
    tasks,
    reads: names(({ inputs }) => inputs?.keys() ?? []),
    writes: names(({ outputs }) => outputs.keys()),
    watermark: lowest.watermark,
    heldBy: lowest.heldBy,
    pending: tasks.reduce((sum, { pending }) => sum + pending, 0),
    failureRate: Math.max(...tasks.map(({ failureRate }) => failureRate)),
    lateRate: Math.max(...tasks.map(({ lateRate }) => lateRate)),
    counts
  }
}

function taskState({ vitals, wallAt }: Known, overdue: ReadonlyMap<string, Known>): TaskState {
  const { task, watermark, health, counts } = vitals
  const isSilent = overdue.has(task)
  const named = isSilent ? undefined : health?.heldBy
  const silent = isSilent ? task : named && overdue.has(named.task) ? named.task : undefined
  const heldBy: Holder | undefined =
    silent === undefined ? named : { task: silent, cause: 'silent', since: Math.round(overdue.get(silent)!.wallAt) }
  const states: Partial<Record<Vitals['state'], LifeState>> = { closing: 'ended', left: 'left', joining: 'joining' }
  return {
    task,
    state: isSilent ? 'silent' : (states[vitals.state] ?? 'active'),
    watermark,
    heldBy,
    pending: health?.pending ?? 0,
    failureRate: health?.failureRate ?? 0,
    lateRate: health?.lateRate ?? 0,
    counts,
    heardAt: Math.round(wallAt)
  }
}
