import { StreamError } from '../core/errors.ts'
import type { StreamRecord } from '../core/record.ts'
import type { SchemaRegistry } from '../core/registry.ts'
import type { AnyTopic } from '../core/topic.ts'
import {
  ensureTopic,
  openStore,
  pipeline,
  VitalsView,
  type ClientStore,
  type Pipeline,
  type RunOptions,
  type Stage
} from '../pipeline/index.ts'
import { memory, MemoryBroker, type MemoryAdapter } from '../adapters/memory/index.ts'
import { feedOf, type DriveItem } from './drive-input.ts'
import { TopicContents, type ParkedRecord } from './drive-output.ts'
import { watchedStage } from './drive-watch.ts'
import { SimulatedEnvironment, type SimulationOptions } from './simulated-environment.ts'
import { Worker } from './worker.ts'

export interface DriveOptions extends Omit<RunOptions, 'signal' | 'handleSignals'>, SimulationOptions {
  /** Topic -> what is written to it. A topic that the pipeline reads and nobody writes is empty. */
  readonly inputs?: Readonly<Record<string, readonly DriveItem[]>>
  /** Where tasks commit: a store in memory (default), or transactions of the broker. */
  readonly commitIn?: 'store' | 'broker'
  readonly registry?: SchemaRegistry
  /** Real milliseconds after which it rejects with code `timeout`. Default 20,000. */
  readonly timeout?: number
}

/** What a stage has counted, over all its tasks and lives. */
export type StageCounts = Readonly<
  Record<'processed' | 'emitted' | 'parked' | 'late' | 'expired' | 'duplicates' | 'lost', number>
>

export interface Driven {
  /** Topic -> what the stages wrote to it, decoded, partition by partition. Repeats, which a reader drops, are dropped. */
  readonly outputs: Readonly<Record<string, readonly StreamRecord<string, any, any>[]>>
  readonly parked: readonly ParkedRecord[]
  /** Stage -> counts. */
  readonly counts: Readonly<Record<string, StageCounts>>
  /** How often the worker was killed. */
  readonly crashes: number
  /** Simulated milliseconds from start to end. */
  readonly milliseconds: number
}

/**
 * Runs a pipeline to its end, with no broker and no waiting: topics are in memory, time is simulated. Topics whose
 * definition gives no `partitions` have one.
 *
 * Errors: `bad-config` for an input that no stage reads, `timeout`, and whatever `client.run` rejects with.
 *
 * @example
 * const { outputs } = await drive(app, { inputs: { trades: [{ key: 'ACME', value: 5 }, crash(), { key: 'ACME', value: 7 }] } })
 * expect(outputs.totals.map(record => record.value)).toEqual([5, 12])
 */
export async function drive(app: Pipeline, options: DriveOptions = {}): Promise<Driven> {
  const { inputs = {}, commitIn = 'store', registry, timeout = 20_000, seed, now, ...run } = options
  const environment = new SimulatedEnvironment({
    ...(seed !== undefined && { seed }),
    ...(now !== undefined && { now })
  })
  const driver = new Driver(app, inputs, commitIn, registry, environment, { ...run, handleSignals: false })
  const limit = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => limit.reject(new StreamError('timeout', `the pipeline '${app.name}' did not end within ${timeout} ms`)),
    timeout
  )
  try {
    return await environment.run(Promise.race([driver.drive(), limit.promise]))
  } finally {
    clearTimeout(timer)
    driver.stop()
  }
}

class Driver {
  readonly #app: Pipeline
  readonly #inputs: Readonly<Record<string, readonly DriveItem[]>>
  readonly #commitIn: 'store' | 'broker'
  readonly #registry: SchemaRegistry | undefined
  readonly #environment: SimulatedEnvironment
  readonly #options: RunOptions
  readonly #broker = new MemoryBroker()
  readonly #adapter: MemoryAdapter
  readonly #topics = new Map<string, AnyTopic>()
  /** Topic -> places of the records that a handler has seen. */
  readonly #seen = new Map<string, Set<string>>()
  readonly #ended = Promise.withResolvers<void>()
  #store!: ClientStore
  #feed: Worker | undefined
  #worker: Worker | undefined
  #crashes = 0
  /** Looks whether it is time to die. */
  #crashing: (() => void) | undefined
  /** One death at a time, whichever input asked for it. */
  #deaths: Promise<void> = Promise.resolve()

  constructor(
    app: Pipeline,
    inputs: Readonly<Record<string, readonly DriveItem[]>>,
    commitIn: 'store' | 'broker',
    registry: SchemaRegistry | undefined,
    environment: SimulatedEnvironment,
    options: RunOptions
  ) {
    this.#app = app
    this.#inputs = inputs
    this.#commitIn = commitIn
    this.#registry = registry
    this.#environment = environment
    this.#options = options
    this.#adapter = memory({ broker: this.#broker, client: 'drive' })
    for (const stage of app.stages)
      for (const topic of [...stage.from, ...stage.to]) this.#topics.set(topic.name, topic)
  }

  async drive(): Promise<Driven> {
    await this.#adapter.open(this.#environment)
    this.#store = await openStore('memory:', new Map())
    for (const { name: topic, partitions = 1 } of this.#topics.values())
      await ensureTopic(this.#adapter, this.#environment, { topic, partitions })
    const feeds = this.#feeds()
    const feeding = feeds.length > 0 ? this.#startFeed(feeds) : Promise.resolve()
    this.#start()
    await Promise.all([feeding, this.#ended.promise])
    return this.#result()
  }

  stop(): void {
    this.#feed?.kill()
    this.#worker?.kill()
  }

  #feeds(): Stage[] {
    const { stages } = this.#app
    const read = new Set(stages.flatMap(stage => stage.from.map(topic => topic.name)))
    for (const topic of Object.keys(this.#inputs))
      if (!read.has(topic))
        throw new StreamError(
          'bad-config',
          `drive: no stage of '${this.#app.name}' reads the topic '${topic}'; they read ${[...read].join(', ')}`
        )
    const written = new Set(stages.flatMap(stage => stage.to.map(topic => topic.name)))
    const fed = [...read].filter(topic => Object.hasOwn(this.#inputs, topic) || !written.has(topic))
    return fed.map((topic, index) =>
      feedOf(
        `input-${index}`,
        this.#topics.get(topic)!,
        this.#inputs[topic] ?? [],
        this.#environment,
        entries => (this.#deaths = this.#deaths.then(() => this.#crash(topic, entries)))
      )
    )
  }

  async #startFeed(feeds: readonly Stage[]): Promise<void> {
    const store = await openStore('memory:', new Map())
    this.#feed = new Worker({
      name: 'feed',
      broker: this.#broker,
      store,
      environment: this.#environment,
      registry: this.#registry
    })
    await this.#feed.run(pipeline('tidemark-drive', feeds), { handleSignals: false, commitInterval: 1 })
  }

  #start(): void {
    const worker = new Worker({
      name: `worker-${this.#crashes + 1}`,
      broker: this.#broker,
      store: this.#store,
      environment: this.#environment,
      registry: this.#registry,
      commitIn: this.#commitIn
    })
    this.#worker = worker
    const watched = { ...this.#app, stages: this.#watched(this.#app.stages) }
    worker.run(watched, this.#options).then(this.#ended.resolve, this.#ended.reject)
  }

  /** Kills the worker once a handler has seen so many records of the topic, and starts another. */
  async #crash(topic: string, entries: number): Promise<void> {
    const dead = Promise.withResolvers<void>()
    const kill = (): void => {
      this.#crashing = undefined
      this.#worker?.kill()
      this.#crashes++
      dead.resolve()
    }
    this.#crashing = () => {
      if ((this.#seen.get(topic)?.size ?? 0) >= entries) kill()
    }
    this.#crashing()
    // An entry that no handler is ever called for: its bytes do not decode.
    const patience = this.#environment.timer(60_000, () => this.#crashing && kill())
    await dead.promise
    patience.cancel()
    await this.#environment.turn()
    this.#start()
  }

  /** The first stage that reads a topic tells what has been seen of it. */
  #watched(stages: readonly Stage[]): Stage[] {
    const taken = new Set<string>()
    return stages.map(stage => {
      const mine = new Set(stage.from.map(topic => topic.name).filter(topic => !taken.has(topic)))
      for (const topic of mine) taken.add(topic)
      const see = (records: readonly StreamRecord[]): void => {
        for (const { topic, partition, position } of records) {
          if (!mine.has(topic)) continue
          const seen = this.#seen.get(topic) ?? new Set()
          this.#seen.set(topic, seen.add(`${partition}/${position}`))
        }
        this.#crashing?.()
      }
      return mine.size === 0 ? stage : watchedStage(stage, see)
    })
  }

  async #result(): Promise<Driven> {
    const contents = new TopicContents(this.#adapter, this.#registry)
    const written = new Set(this.#app.stages.flatMap(stage => stage.to))
    const read = new Set(this.#app.stages.flatMap(stage => stage.from))
    const outputs: Record<string, StreamRecord<string, any, any>[]> = {}
    for (const topic of written) outputs[topic.name] = await contents.records(topic)
    const parked: ParkedRecord[] = []
    for (const topic of read) parked.push(...(await contents.parked(topic)))
    const counts = await this.#counts()
    return { outputs, parked, counts, crashes: this.#crashes, milliseconds: this.#environment.monotonic() }
  }

  async #counts(): Promise<Record<string, StageCounts>> {
    const view = new VitalsView(this.#adapter, this.#environment)
    await view.open()
    const counts: Record<string, Record<keyof StageCounts, number>> = {}
    for (const { name } of this.#app.stages) {
      const sum = { processed: 0, emitted: 0, parked: 0, late: 0, expired: 0, duplicates: 0, lost: 0 }
      for (const [task, vitals] of view.tasks) {
        if (!task.startsWith(`${this.#app.name}/${name}/`)) continue
        for (const key of Object.keys(sum) as (keyof StageCounts)[]) sum[key] += vitals.counts[key]
      }
      counts[name] = sum
    }
    await view.close()
    return counts
  }
}
