/**
 * One task of a stage with nothing around it: its state, its timers, its outputs, and commits that a crash goes back to. The
 * watermark is what the test says it is.
 */
import type { BoundTopic } from '../../src/broker/index.ts'
import type { StreamRecord } from '../../src/core/record.ts'
import { decodeStamp } from '../../src/core/stamp.ts'
import type { AnyTopic } from '../../src/core/topic.ts'
import type { ProcessorStage } from '../../src/pipeline/index.ts'
import { EventClock } from '../../src/pipeline/event-clock.ts'
import { HandlerContext } from '../../src/pipeline/handler-context.ts'
import { policyOf } from '../../src/pipeline/failure-policy.ts'
import { processorLogic } from '../../src/pipeline/logic.ts'
import { OutputBuffer } from '../../src/pipeline/outputs.ts'
import { TaskState, TimerQueue, timerSlot, type StateRow } from '../../src/state/index.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'

export type Step =
  | {
      readonly do: 'send'
      readonly topic?: string
      readonly key: string
      readonly time: number
      readonly value: unknown
    }
  /** At most so many timers fire; the others after the next record. */
  | { readonly do: 'advance'; readonly to: number; readonly fires?: number }
  /** The step before it, a record, is handled twice: the first time everything was undone. */
  | { readonly do: 'fail' }
  /** The step before it, a record, is undone and given up. */
  | { readonly do: 'park' }
  | { readonly do: 'commit' }
  | { readonly do: 'crash' }

export interface Output {
  readonly topic: string
  readonly key: string
  readonly value: any
  readonly eventTime: number
  readonly late: boolean
}

const adapter = { name: 'none', capabilities: { maxRecord: 1e9 } }
const bind = (topic: AnyTopic): BoundTopic =>
  ({ topic, adapter, key: topic.key, value: topic.value, partitions: 1 }) as never

/** One life of the task, from what is committed on. */
class Life {
  readonly state: TaskState
  readonly timers: TimerQueue = new TimerQueue()
  readonly context: HandlerContext
  readonly outputs: OutputBuffer
  readonly clock: EventClock
  expired: number
  /** How many timers may fire. */
  fires: number = Infinity

  constructor(stage: ProcessorStage, committed: Committed) {
    const environment = new SimulatedEnvironment()
    const { signal } = new AbortController()
    this.state = new TaskState(stage.state)
    for (const row of committed.rows.values()) (row.slot === timerSlot ? this.timers : this.state).load(row)
    this.context = new HandlerContext('task', signal, this.state, this.timers)
    this.outputs = new OutputBuffer('0123456789abcdef', stage.to.map(bind), committed.sequences)
    this.clock = new EventClock(
      {
        task: 'task',
        logic: processorLogic(stage, environment)(),
        policy: policyOf({ retries: 0 }),
        context: this.context,
        timers: this.timers,
        outputs: this.outputs,
        input: bind(stage.from[0]!),
        environment,
        signal,
        full: () => this.fires-- <= 0,
        loader: { fetchDue: () => undefined }
      },
      committed.watermark
    )
    this.context.watermark = committed.watermark
    this.expired = committed.expired
  }
}

interface Committed {
  readonly rows: Map<string, StateRow>
  readonly sequences: Record<string, Record<string, number>>
  readonly watermark: number
  readonly outputs: readonly Output[]
  readonly expired: number
  /** Steps that are part of it. */
  readonly steps: number
}

export class Task {
  #stage: ProcessorStage
  #committed: Committed = { rows: new Map(), sequences: {}, watermark: -Infinity, outputs: [], expired: 0, steps: 0 }
  #life: Life
  /** Most rows of state and timers that were ever there at once. */
  mostRows = 0

  constructor(stage: ProcessorStage) {
    this.#stage = stage
    this.#life = new Life(stage, this.#committed)
  }

  /** Takes the steps, commits, and gives what was written. What a crash has undone is done again. */
  run(steps: readonly Step[]): readonly Output[] {
    this.#committed = { ...this.#committed, steps: 0 }
    const crashed = new Set<number>()
    for (let at = 0; at < steps.length; at++) {
      const step = steps[at]!
      if (step.do === 'crash') {
        if (crashed.has(at)) continue
        crashed.add(at)
        this.#life = new Life(this.#stage, this.#committed)
        at = this.#committed.steps - 1
      } else if (step.do === 'commit') this.#commit(at + 1)
      else this.#take(step, steps[at + 1]?.do)
    }
    this.#commit(steps.length)
    return this.#committed.outputs
  }

  /** A new release of the stage goes on from what is committed. */
  become(stage: ProcessorStage): void {
    this.#stage = stage
    this.#life = new Life(stage, this.#committed)
  }

  /** Rows of state and of timers, as a store has them. */
  get rows(): number {
    return this.#committed.rows.size
  }

  get expired(): number {
    return this.#committed.expired
  }

  get rowsOf(): readonly StateRow[] {
    return [...this.#committed.rows.values()]
  }

  #take(step: Step, next: Step['do'] | undefined): void {
    const life = this.#life
    const { clock, context } = life
    if (step.do === 'advance') {
      context.watermark = Math.max(context.watermark, step.to)
      life.fires = step.fires ?? Infinity
      wait(clock.advance(context.watermark))
      life.fires = Infinity
    }
    if (step.do !== 'send') return
    if (next === 'fail' || next === 'park') this.#send(step, true)
    if (next !== 'park') this.#send(step, false)
    if (clock.behind) wait(clock.advance(context.watermark))
  }

  #send({ topic = this.#stage.from[0]!.name, key, time, value }: Step & { do: 'send' }, fails: boolean): void {
    const { context, outputs } = this.#life
    const record: StreamRecord = {
      topic,
      partition: 0,
      position: '0',
      key,
      value,
      headers: {},
      eventTime: time,
      late: time < context.watermark
    }
    const mark = outputs.mark()
    context.begin(Buffer.from(key), record)
    wait(outputs.collect(this.#stage.options.process!(record as never, context), time))
    if (fails) {
      context.rollback()
      outputs.rollback(mark)
    } else if (context.expired) this.#life.expired++
  }

  #commit(steps: number): void {
    const { state, timers, outputs, context, expired } = this.#life
    const { rows } = this.#committed
    for (const row of [...state.changes(), ...timers.changes()]) {
      const id = `${row.slot} ${row.key}`
      if (row.value === null) rows.delete(id)
      else rows.set(id, { ...row, value: Uint8Array.from(row.value) })
    }
    this.mostRows = Math.max(this.mostRows, rows.size)
    const topics = new Map(this.#stage.to.map(topic => [topic.name, topic]))
    const written = outputs.records.map(({ topic, key, value, stamp }): Output => {
      const { eventTime, late } = decodeStamp(stamp!)
      const codec = topics.get(topic)!.value
      return { topic, key: Buffer.from(key!).toString(), value: codec.decode(value!), eventTime, late }
    })
    this.#committed = {
      rows,
      sequences: outputs.sequences(),
      watermark: context.watermark,
      outputs: [...this.#committed.outputs, ...written],
      expired,
      steps
    }
    state.committed()
    timers.committed()
    outputs.clear()
  }
}

function wait(pending: Promise<void> | undefined): void {
  if (pending) throw new Error('a step of the task was not synchronous')
}
