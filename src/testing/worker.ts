import type { Environment, Timer } from '../core/environment.ts'
import type { SchemaRegistry } from '../core/registry.ts'
import type { AnyTopic } from '../core/topic.ts'
import {
  redrive,
  runPipeline,
  runSettings,
  type ClientStore,
  type Pipeline,
  type RedriveOptions,
  type RedriveProgress,
  type RunHost,
  type RunOptions,
  type Stage
} from '../pipeline/index.ts'
import { memory, type MemoryAdapter, type MemoryBroker } from '../adapters/memory/index.ts'

export interface WorkerParts {
  readonly name: string
  readonly broker: MemoryBroker
  readonly store: ClientStore
  readonly environment: Environment
  readonly registry?: SchemaRegistry | undefined
  /** Default `store`. */
  readonly commitIn?: RunHost['commitIn'] | undefined
}

/** A promise that a dead worker waits for. */
const never = (): Promise<never> => new Promise(() => {})

/**
 * One worker of a pipeline, as much of a process as fits into this one: it can be killed, and from then on nothing of it
 * acts: no timer, no send, no commit, no handler. What it waits for never comes.
 */
export class Worker {
  readonly name: string
  readonly adapter: MemoryAdapter
  #alive = true
  readonly #host: RunHost
  readonly #timers = new Set<Timer>()

  constructor({ name, broker, store, environment, registry, commitIn = 'store' }: WorkerParts) {
    this.name = name
    this.adapter = memory({ broker, client: name })
    const mortalStore = this.#mortalStore(store)
    this.#host = {
      environment: this.#mortalEnvironment(environment),
      registry,
      adapterOf: () => this.adapter,
      commitIn,
      openStore: async () => mortalStore
    }
  }

  /** As `client.run`. Never settles once the worker is killed. */
  async run(app: Pipeline, options: RunOptions = {}): Promise<void> {
    const { signal, ...rest } = options
    await this.adapter.open(this.#host.environment)
    try {
      await runPipeline(
        this.#host,
        { ...app, stages: app.stages.map(stage => this.#mortalStage(stage)) },
        runSettings(rest),
        signal
      )
    } finally {
      if (!this.#alive) await never()
    }
  }

  /** As `client.admin.redrive`. Never settles once the worker is killed. */
  async redrive(topic: AnyTopic, options?: RedriveOptions): Promise<RedriveProgress> {
    await this.adapter.open(this.#host.environment)
    const progress = await redrive(this.#host, topic, options)
    return this.#alive ? progress : never()
  }

  /** Kills it: no drain, no commit, no goodbye to the group but that its connection is gone. */
  kill(): void {
    if (!this.#alive) return
    this.#alive = false
    for (const timer of this.#timers) timer.cancel()
    void this.adapter.close()
  }

  /** Closes the adapter of a worker whose run has ended. */
  close(): Promise<void> {
    return this.adapter.close()
  }

  #mortalEnvironment(environment: Environment): Environment {
    return {
      now: () => environment.now(),
      monotonic: () => environment.monotonic(),
      random: () => environment.random(),
      turn: () => (this.#alive ? this.#living(environment.turn()) : never()),
      timer: (delay, task, background) => {
        if (!this.#alive) return { cancel: () => {} }
        const run = (): void => {
          this.#timers.delete(timer)
          task()
        }
        const timer = environment.timer(delay, run, background)
        this.#timers.add(timer)
        return {
          cancel: () => {
            this.#timers.delete(timer)
            timer.cancel()
          }
        }
      }
    }
  }

  /** Calls of the living only; an answer that comes after death is not heard. */
  #mortalStore(store: ClientStore): ClientStore {
    const guard = <Target extends object>(target: Target): Target =>
      new Proxy(target, {
        get: (_, name) => {
          const member = Reflect.get(target, name, target) as unknown
          if (typeof member !== 'function') return member
          return (...given: unknown[]) => (this.#alive ? this.#living(Reflect.apply(member, target, given)) : never())
        }
      })
    const guarded = guard(store)
    return new Proxy(guarded, {
      get: (_, name) => {
        const member = Reflect.get(guarded, name, guarded) as unknown
        if (name !== 'acquire') return member
        return async (...given: Parameters<ClientStore['acquire']>) => guard(await guarded.acquire(...given))
      }
    })
  }

  async #living<Result>(promise: Promise<Result> | Result): Promise<Result> {
    try {
      return await promise
    } finally {
      if (!this.#alive) await never()
    }
  }

  /** A dead worker's handlers are not called. */
  #mortalStage(stage: Stage): Stage {
    const alive =
      <Given extends unknown[], Result>(call: (...given: Given) => Result): ((...given: Given) => Result) =>
      (...given) =>
        this.#alive ? call(...given) : (never() as Result)
    if (stage.kind === 'processor') {
      const { options } = stage
      const { onWatermark, onComplete } = options
      const timed = {
        ...(onComplete && { onComplete: alive((interval, context) => onComplete.call(options, interval, context)) }),
        ...(onWatermark && {
          onWatermark: alive((watermark, context) => onWatermark.call(options, watermark, context))
        })
      } satisfies Partial<typeof options>
      if (options.processBatch) {
        const processBatch = alive((records: readonly any[], context: any) => options.processBatch(records, context))
        return { ...stage, options: { ...options, ...timed, processBatch } }
      }
      const { onTimer } = options
      return {
        ...stage,
        options: {
          ...options,
          ...timed,
          process: alive((record, context) => options.process(record, context)),
          ...(onTimer && { onTimer: alive((timer, context) => onTimer.call(options, timer, context)) })
        }
      }
    }
    if (stage.kind === 'source') {
      const { options } = stage
      return { ...stage, options: { ...options, run: context => mortalItems(options.run(context), alive) } }
    }
    const { write } = stage.options
    return typeof write === 'function' ? { ...stage, options: { ...stage.options, write: alive(write) } } : stage
  }
}

type Wrap = <Given extends unknown[], Result>(call: (...given: Given) => Result) => (...given: Given) => Result

function mortalItems(items: AsyncIterable<any> | Iterable<any>, alive: Wrap): AsyncIterable<any> | Iterable<any> {
  const wrapped = <It extends AsyncIterator<any> | Iterator<any>>(iterator: It): It =>
    ({
      next: alive(() => iterator.next()),
      return: () => iterator.return?.() ?? { done: true, value: undefined }
    }) as never
  return Symbol.asyncIterator in items
    ? { [Symbol.asyncIterator]: () => wrapped(items[Symbol.asyncIterator]()) }
    : { [Symbol.iterator]: () => wrapped(items[Symbol.iterator]()) }
}
