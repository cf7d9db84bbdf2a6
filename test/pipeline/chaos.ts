import { MemoryStore } from '../../src/exactly-once/index.ts'
import type { Pipeline, RunOptions } from '../../src/pipeline/index.ts'
import type { Worker } from '../../src/testing/worker.ts'
import { dice, World } from './world.ts'

export interface ChaosOptions {
  readonly seed: number
  readonly faults: number
  readonly workers: number
  readonly run: RunOptions
}

/**
 * Runs a pipeline at several workers while faults are injected, one after the other; then lets it come to its end. Gives
 * what was done, so that a failing seed can be read.
 */
export async function runThroughChaos(
  world: World,
  app: Pipeline,
  { seed, faults, workers, run }: ChaosOptions
): Promise<string[]> {
  const chaos = new Chaos(world, app, dice(seed * 7919), run)
  for (let index = 0; index < workers; index++) chaos.startWorker()
  chaos.schedule(faults)
  await world.environment.run(chaos.ended)
  return chaos.done
}

class Chaos {
  readonly done: string[] = []
  readonly ended: Promise<void>
  readonly #world: World
  readonly #app: Pipeline
  readonly #random: () => number
  readonly #run: RunOptions
  readonly #living = new Set<Worker>()
  readonly #end = Promise.withResolvers<void>()
  #left = 0
  #storeFault: 'lose' | 'hide' | 'steal' | undefined

  constructor(world: World, app: Pipeline, random: () => number, run: RunOptions) {
    this.#world = world
    this.#app = app
    this.#random = random
    this.#run = run
    this.ended = this.#end.promise
    const store = world.innerStore
    if (!(store instanceof MemoryStore)) return
    store.faults = task => {
      const fault = this.#storeFault
      this.#storeFault = undefined
      if (fault !== 'steal') return fault
      // Somebody took the task over in this very moment, and fell silent.
      const [pipeline = '', stage = '', part = ''] = task.split('/')
      void store.acquire({ id: task, pipeline, stage, ordinal: Number(part) })
      return undefined
    }
  }

  startWorker(): void {
    const worker = this.#world.worker()
    this.#living.add(worker)
    worker.run(this.#app, { handleSignals: false, ...this.#run }).then(
      () => {
        this.#living.delete(worker)
        if (this.#living.size > 0) return
        this.#heal()
        this.#end.resolve()
      },
      error => this.#end.reject(new Error(`a worker failed after: ${this.done.join(', ')}`, { cause: error }))
    )
  }

  schedule(faults: number): void {
    this.#left = faults
    if (faults === 0) {
      this.#heal()
      if (this.#living.size === 0) this.startWorker()
      return
    }
    this.#world.environment.timer(20 + this.#random() * 200, () => {
      this.#inject()
      this.schedule(faults - 1)
    })
  }

  #inject(): void {
    const { faults } = this.#world.broker
    const times = 1 + Math.floor(this.#random() * 3)
    const when = this.#random() < 0.5 ? ('before' as const) : ('after' as const)
    const groups = this.#app.stages
      .filter(stage => stage.kind !== 'source')
      .map(stage => `${this.#app.name}.${stage.name}`)
    const worker = this.#pick([...this.#living])
    const topic = this.#pick(this.#app.stages.flatMap(stage => stage.to.map(({ name }) => name)))
    const actions: Record<string, () => void> = {
      'send fails': () => faults.fail({ operation: 'send', when, times }),
      'send fails in part': () =>
        faults.fail({ operation: 'send', topic, when, times, written: Math.floor(this.#random() * 4) }),
      'send is repeated': () => faults.duplicate({ times }),
      'receive fails': () => faults.fail({ operation: 'receive', times }),
      'seek fails': () => faults.fail({ operation: 'seek', times, when }),
      'join fails': () => faults.fail({ operation: 'join', times, when: 'before' }),
      'group commit fails': () => faults.fail({ operation: 'commit', times, when }),
      'reading a partition fails': () => faults.fail({ operation: 'read-partition', times }),
      'a send is slow': () => faults.delay({ operation: 'send', milliseconds: 50 + this.#random() * 3_000, times }),
      'a transaction fails': () => faults.fail({ operation: 'transaction', when, times }),
      'a transaction stays open': () =>
        faults.failTransaction({
          effect: this.#pick(['none', 'committed', 'open-committed', 'open-aborted'] as const),
          times: 1
        }),
      'a transaction is aborted': () => faults.failTransaction({ effect: 'none', outcome: 'aborted', times: 1 }),
      'starting a transactional producer fails': () => faults.fail({ operation: 'transaction-init', when, times }),
      'the store loses an append': () => (this.#storeFault = 'lose'),
      'the store hides an append': () => (this.#storeFault = 'hide'),
      'somebody takes a task over': () => (this.#storeFault = 'steal'),
      'calls are slow': () => {
        for (const operation of [
          'transaction',
          'transaction-init',
          'read-partition',
          'seek',
          'commit',
          'receive',
          'send'
        ] as const)
          faults.delay({ operation, milliseconds: this.#random() * 200, times: 1 + Math.floor(this.#random() * 8) })
      },
      'a worker hangs while its group goes on': () => worker && this.#hang(worker, this.#pick(groups)),
      'a group loses its members': () => void faults.kick(this.#pick(groups)),
      'a worker is cut off': () => worker && this.#cutOff(worker),
      'a worker is a zombie': () => worker && this.#zombie(worker),
      'a worker dies': () => worker && this.#kill(worker),
      'a worker joins': () => this.#living.size < 3 && this.startWorker()
    }
    const name = this.#pick(Object.keys(actions))
    this.done.push(`${Math.round(this.#world.environment.monotonic())}: ${name} (${when}, ${times}, ${worker?.name})`)
    actions[name]!()
  }

  /** The classic zombie: it hears nothing of its loss, and works on with what it has. */
  #hang(worker: Worker, group: string): void {
    const { broker, environment } = this.#world
    const held = broker.faults.hold({ operation: 'receive', client: worker.name, group })
    environment.timer(this.#random() * 100, () => broker.faults.kick(group, worker.name))
    environment.timer(100 + this.#random() * 4_000, () => held.release())
  }

  #cutOff(worker: Worker): void {
    const { broker, environment } = this.#world
    broker.faults.disconnect(worker.name)
    environment.timer(this.#random() * 15_000, () => broker.faults.reconnect(worker.name))
  }

  #zombie(worker: Worker): void {
    const { broker, environment } = this.#world
    broker.faults.stopHeartbeats(worker.name)
    environment.timer(this.#random() * 15_000, () => broker.faults.resumeHeartbeats(worker.name))
  }

  #kill(worker: Worker): void {
    worker.kill()
    this.#living.delete(worker)
    this.#world.environment.timer(this.#random() * 500, () => this.#left > 0 && this.startWorker())
  }

  #heal(): void {
    const { faults } = this.#world.broker
    faults.clear()
    for (const worker of this.#living) faults.reconnect(worker.name)
    this.#storeFault = undefined
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.#random() * items.length)]!
  }
}
