import assert from 'node:assert/strict'
import { Producer, type BoundTopic } from '../../../broker/index.ts'
import { json, text } from '../../../core/codec.ts'
import { systemEnvironment, type Environment } from '../../../core/environment.ts'
import { topic, type Topic } from '../../../core/topic.ts'
import { pipeline, processor, producerReports, type Pipeline } from '../../../pipeline/index.ts'

export interface Reading {
  readonly id: string
  readonly at: number
}

export type Hop = 'shuffle' | 'collect'

/** What one task was told, in the order in which it was told. */
interface Told {
  readonly records: { readonly id: string; readonly at: number; readonly late: boolean; readonly reached: number }[]
  /** The highest watermark that its handler has seen. */
  reached: number
}

/** Bound of the disorder, ms. */
export const lateness = 200
/** Time between two readings of a sensor, ms of event time. */
const step = 10

/**
 * Two hops, each a pipeline of its own: readings come out of order, the first hop sends them on under other keys, so that each
 * partition of the second has records of all its tasks. Both write down what they are told.
 */
export class Hops {
  readonly readings: Topic<string, string, Reading>
  readonly front: Pipeline
  readonly back: Pipeline
  readonly #partitions: number
  readonly #told = new Map<string, Told>()
  /** What was told wrong while it ran. */
  readonly #wrong: string[] = []

  constructor(name: string, partitions: number) {
    this.#partitions = partitions
    this.readings = topic(`${name}-readings`, {
      key: text,
      value: json<Reading>(),
      eventTime: ({ at }) => at,
      lateness,
      partitions
    })
    const shuffled = topic(`${name}-shuffled`, { key: text, value: json<Reading>(), partitions })
    const shuffle = processor({
      name: 'shuffle',
      from: this.readings,
      to: shuffled,
      process: ({ value, late }, { task, watermark }) => {
        this.#hear('shuffle', task, value, late, watermark)
        return { key: `other-${Number(value.id.split(' ')[1]) % 11}`, value }
      },
      onWatermark: (watermark, { task }) => this.#reach('shuffle', task, watermark)
    })
    const collect = processor({
      name: 'collect',
      from: shuffled,
      process: ({ value, late }, { task, watermark }) => this.#hear('collect', task, value, late, watermark),
      onWatermark: (watermark, { task }) => this.#reach('collect', task, watermark)
    })
    this.front = pipeline(`${name}-front`, [shuffle])
    this.back = pipeline(`${name}-back`, [collect])
  }

  /** The least watermark that the tasks of a hop have told their handlers. */
  least(hop: Hop): number {
    const tasks = [...this.#told].flatMap(([name, { reached }]) => (name.startsWith(`${hop} `) ? reached : []))
    return tasks.length < this.#partitions ? -Infinity : Math.min(...tasks)
  }

  /** The highest that any task of any hop has told. */
  get most(): number {
    return Math.max(-Infinity, ...[...this.#told.values()].map(({ reached }) => reached))
  }

  heard(hop: Hop): Set<string> {
    return new Set(
      [...this.#told].flatMap(([name, { records }]) => (name.startsWith(`${hop} `) ? records.map(({ id }) => id) : []))
    )
  }

  /** The recount, when all is there: no record came to a task that had been told of a later time. */
  check(sent: ReadonlySet<string>): void {
    for (const hop of ['shuffle', 'collect'] as const)
      assert.deepEqual([...this.heard(hop)].toSorted(), [...sent].toSorted(), `${hop} had every reading, and no other`)
    const ahead = [...this.#told].flatMap(([task, { records }]) =>
      records
        .filter(({ at, reached }) => at < reached)
        .map(({ id, at, reached }) => `${task} was told of ${reached}, and then came ${id} of ${at}`)
    )
    assert.deepEqual(ahead, [], 'a watermark was ahead of the truth')
    const late = [...this.#told].flatMap(([task, { records }]) =>
      records.flatMap(each => (each.late ? `${task}: ${each.id}` : []))
    )
    assert.deepEqual(late, [], 'every producer kept its promise, so nothing is late')
    assert.deepEqual(this.#wrong, [])
  }

  #hear(hop: Hop, task: string, { id, at }: Reading, late: boolean, watermark: number): void {
    const told = this.#of(hop, task)
    told.reached = Math.max(told.reached, watermark)
    told.records.push({ id, at, late, reached: told.reached })
  }

  #reach(hop: Hop, task: string, watermark: number): void {
    const told = this.#of(hop, task)
    if (watermark < told.reached) this.#wrong.push(`the watermark of ${task} went from ${told.reached} to ${watermark}`)
    told.reached = Math.max(told.reached, watermark)
  }

  #of(hop: Hop, task: string): Told {
    const name = `${hop} ${task}`
    let told = this.#told.get(name)
    if (!told) this.#told.set(name, (told = { records: [], reached: -Infinity }))
    return told
  }
}

/** A process with a plain producer, which can be stopped: it then neither sends nor reports. What it measured meanwhile comes after. */
export class Sensor {
  readonly sent: Set<string> = new Set()
  readonly #name: string
  readonly #producer: Producer<string, Reading>
  readonly #process: StoppableEnvironment
  #measuredTo: number
  #count = 0

  private constructor(name: string, producer: Producer<string, Reading>, process: StoppableEnvironment) {
    this.#name = name
    this.#producer = producer
    this.#process = process
    this.#measuredTo = process.now()
  }

  static async open(name: string, bound: BoundTopic): Promise<Sensor> {
    const process = new StoppableEnvironment()
    const reports = await producerReports({ environment: process }, bound, 100)
    const producer = new Producer<string, Reading>(bound, process, {}, reports)
    await producer.open()
    return new Sensor(name, producer, process)
  }

  /** Sends what it has measured by now. */
  async send(): Promise<void> {
    const now = this.#process.now()
    const entries: { key: string; value: Reading }[] = []
    for (; this.#measuredTo + step <= now; this.#measuredTo += step) {
      const id = `${this.#name} ${this.#count++}`
      // Out of order, within the bound.
      const at = this.#measuredTo - ((this.#count * 79) % lateness)
      entries.push({ key: `${this.#name}-${this.#count % 13}`, value: { id, at } })
      this.sent.add(id)
    }
    await this.#producer.sendAll(entries)
  }

  /** Nothing before this comes of it any more. Everything else may. */
  get promised(): number {
    return this.#measuredTo - lateness
  }

  stop(): void {
    this.#process.stop()
  }

  goOn(): void {
    this.#process.goOn()
  }

  async close(): Promise<void> {
    this.goOn()
    await this.#producer.close()
  }
}

/** Time of a process that can be stopped: what is due meanwhile happens when it goes on. */
class StoppableEnvironment implements Environment {
  readonly now: Environment['now'] = () => systemEnvironment.now()
  readonly monotonic: Environment['monotonic'] = () => systemEnvironment.monotonic()
  readonly random: Environment['random'] = () => systemEnvironment.random()
  readonly turn: Environment['turn'] = () => systemEnvironment.turn()
  #due: (() => void)[] | undefined

  timer(delay: number, task: () => void, background?: boolean): ReturnType<Environment['timer']> {
    let cancelled = false
    const fire = (): void => {
      if (cancelled) return
      if (this.#due) this.#due.push(fire)
      else task()
    }
    const timer = systemEnvironment.timer(delay, fire, background)
    return {
      cancel: () => {
        cancelled = true
        timer.cancel()
      }
    }
  }

  stop(): void {
    this.#due ??= []
  }

  goOn(): void {
    const due = this.#due ?? []
    this.#due = undefined
    for (const fire of due) fire()
  }
}
