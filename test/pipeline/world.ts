/**
 * A broker in memory, a store, and workers on a simulated clock that can be killed, cut off and made zombies: what the
 * tests of whole pipelines share. No real time passes.
 */
import { memory, type MemoryAdapter, MemoryBroker } from '../../src/adapters/memory/index.ts'
import type { Client } from '../../src/client.ts'
import { connect } from '../../src/connect.ts'
import { sleep } from '../../src/core/environment.ts'
import type { StreamRecord } from '../../src/core/record.ts'
import type { AnyTopic } from '../../src/core/topic.ts'
import { MemoryStore } from '../../src/exactly-once/index.ts'
import { VitalsView, type ClientStore, type Pipeline, type RunOptions } from '../../src/pipeline/index.ts'
import { TopicContents, type ParkedRecord } from '../../src/testing/drive-output.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'
import { Worker } from '../../src/testing/worker.ts'
import { noCounts, type Counts, type Vitals } from '../../src/watermark/index.ts'

export interface WorldOptions {
  readonly seed?: number
  readonly store?: ClientStore
  readonly commitIn?: 'store' | 'broker'
  /** Most milliseconds before, and again after, a call of the store takes effect. */
  readonly latency?: number
}

export class World {
  readonly broker: MemoryBroker = new MemoryBroker()
  readonly environment: SimulatedEnvironment
  readonly store: ClientStore
  /** The store without its latency. */
  readonly innerStore: ClientStore
  readonly commitIn: 'store' | 'broker'
  readonly #observer: MemoryAdapter
  #workers = 0

  constructor({ seed = 1, store = new MemoryStore(), commitIn = 'store', latency = 0 }: WorldOptions = {}) {
    this.environment = new SimulatedEnvironment({ seed })
    this.innerStore = store
    this.store = latency > 0 ? slow(store, this.environment, latency, dice(seed * 17)) : store
    this.commitIn = commitIn
    this.#observer = memory({ broker: this.broker, client: 'observer' })
    void this.#observer.open(this.environment)
  }

  worker(): Worker {
    const { broker, store, environment, commitIn } = this
    return new Worker({ name: `worker-${++this.#workers}`, broker, store, environment, commitIn })
  }

  /** A client of the public kind. */
  connect(name: string): Promise<Client> {
    return connect({
      brokers: { default: memory({ broker: this.broker, client: name }) },
      store: this.commitIn === 'broker' ? 'broker' : this.store,
      environment: this.environment,
      variables: {}
    })
  }

  /** Runs a pipeline at one worker to its end. */
  run(app: Pipeline, options: RunOptions = {}): Promise<void> {
    return this.environment.run(this.worker().run(app, { handleSignals: false, ...options }))
  }

  /** What a topic holds for a reader with this library. */
  records(topic: AnyTopic): Promise<StreamRecord<string, any, any>[]> {
    return new TopicContents(this.#observer, undefined).records(topic)
  }

  parked(topic: AnyTopic): Promise<ParkedRecord[]> {
    return new TopicContents(this.#observer, undefined).parked(topic)
  }

  /** How many records a topic holds, repeats included. */
  written(topic: string): number {
    return (this.broker.findTopic(topic)?.partitions ?? []).reduce((sum, log) => sum + log.end - log.start, 0)
  }

  async tasks(): Promise<ReadonlyMap<string, Vitals>> {
    const view = new VitalsView(this.#observer, this.environment)
    await this.environment.run(view.open())
    const tasks = new Map(view.tasks)
    await this.environment.run(view.close())
    return tasks
  }

  /** The counts of a stage over its tasks. */
  async counts(stage: string): Promise<Counts> {
    const sum: Record<keyof Counts, number> = { ...noCounts }
    for (const [task, { counts }] of await this.tasks()) {
      if (task.split('/')[1] !== stage) continue
      for (const name of Object.keys(sum) as (keyof Counts)[]) sum[name] += counts[name]
    }
    return sum
  }
}

/** A store that takes its time: what is under way may meet what others do meanwhile. */
function slow<Target extends object>(
  target: Target,
  environment: SimulatedEnvironment,
  latency: number,
  random: () => number
): Target {
  return new Proxy(target, {
    get: (_, name) => {
      const member = Reflect.get(target, name, target) as unknown
      if (typeof member !== 'function') return member
      return async (...given: unknown[]) => {
        await sleep(environment, random() * latency)
        const result = (await Reflect.apply(member, target, given)) as unknown
        await sleep(environment, random() * latency)
        return name === 'acquire' ? slow(result as object, environment, latency, random) : result
      }
    }
  })
}

/** Dice of a test, apart from those of the world. */
export function dice(seed: number): () => number {
  const environment = new SimulatedEnvironment({ seed })
  return () => environment.random()
}

/** Seeds of a test: a few, or as many as `TIDEMARK_SEEDS` says. `TIDEMARK_SEED` picks one. */
export function seeds(few: number): number[] {
  const one = process.env['TIDEMARK_SEED']
  if (one !== undefined) return [Number(one)]
  return Array.from({ length: Number(process.env['TIDEMARK_SEEDS'] ?? few) }, (_, index) => index + 1)
}
