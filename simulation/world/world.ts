import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import type { Environment } from '../../src/core/environment.ts'
import { messageOf, StreamError } from '../../src/core/errors.ts'
import { MemoryStore, type ClientStore } from '../../src/exactly-once/index.ts'
import type { RunHost } from '../../src/pipeline/index.ts'
import type { AnyAdapter } from '../../src/spec/index.ts'
import type { CallLog } from '../core/call-log.ts'
import { Machine, worldStart, type Surroundings } from '../core/machine.ts'
import { Random } from '../core/random.ts'
import { Scheduler } from '../core/scheduler.ts'
import { Story } from '../core/story.ts'
import { ClosedTopics } from '../network/closed-topics.ts'
import { Network, type Target, type Weather } from '../network/network.ts'
import { remoteAdapter } from '../network/remote-adapter.ts'
import { remoteStore } from '../network/remote-store.ts'
import { Journal } from '../oracle/journal.ts'
import type { Personality } from '../personalities/personality.ts'
import type { Plant } from '../planted/plant.ts'
import type { Service } from './service.ts'

export interface WorldOptions {
  readonly seed: number
  readonly personality: Personality
  readonly weather: Record<Target, Weather>
  readonly session: number
  readonly calls: CallLog
  readonly told: boolean
  readonly plant: Plant | undefined
}

interface Running {
  readonly service: Service
  readonly stop: AbortController
  readonly inner: AnyAdapter
}

/** What a machine needs to be heard again, once it can: a request that hangs may take so long, ms. */
const aMoment = 5_000

/** One broker, one store, and the machines around them. */
export class World implements Surroundings {
  readonly random: Random
  readonly scheduler: Scheduler
  readonly network: Network
  readonly calls: CallLog
  readonly story: Story
  readonly session: number
  readonly personality: Personality
  readonly broker: MemoryBroker = new MemoryBroker()
  readonly journal: Journal = new Journal()
  readonly store: ClientStore
  readonly running: Map<Machine, Running> = new Map()
  /** Services of which a machine has come to the end by itself. */
  readonly complete: Set<Service> = new Set()
  /** What ended a program that should not have ended. */
  readonly failures: string[] = []
  /** When all faults ended. */
  healedAt: number = Infinity
  /** The other side of the network: its clock is that of the world. */
  readonly server: Environment
  readonly closed: ClosedTopics = new ClosedTopics(() => this.scheduler.now)
  readonly #plant: Plant | undefined
  /** Services that were told to end. */
  readonly #over = new Set<Service>()
  /** Until when a machine is, or was, not to be heard, and since when. */
  readonly #silent = new Map<Machine, { readonly from: number; readonly until: number }>()
  #born = 0

  constructor({ seed, personality, weather, session, calls, told, plant }: WorldOptions) {
    this.random = new Random(seed)
    this.scheduler = new Scheduler(this.random.fork('order'))
    this.network = new Network(this.scheduler, this.random.fork('network'), weather)
    this.story = new Story(() => this.scheduler.now, told)
    this.calls = calls
    this.session = session
    this.personality = personality
    this.#plant = plant
    const dice = this.random.fork('server')
    this.server = {
      now: () => worldStart + Math.floor(this.scheduler.now),
      monotonic: () => this.scheduler.now,
      random: () => dice.next(),
      timer: (delay, task) => this.scheduler.after(delay, task),
      turn: () => new Promise(resolve => this.scheduler.after(0, resolve))
    }
    this.store = this.journal.watch(new MemoryStore())
  }

  /** The adapter of a client, on the broker's side of the network. */
  adapter(client: string): AnyAdapter {
    const { broker, server: environment, story } = this
    const inner = memory({ broker, client })
    void inner.open(environment)
    const random = this.random.fork(`adapter of ${client}`)
    const isHealed = (): boolean => this.healed
    return this.closed.guard(this.personality.adapter(inner, { broker, environment, random, story, client, isHealed }))
  }

  get healed(): boolean {
    return this.healedAt < Infinity
  }

  machinesOf(service: Service): number {
    let count = 0
    for (const running of this.running.values()) if (running.service === service) count++
    return count
  }

  /** A new machine of the service, unless all of it was told to end. */
  start(service: Service): void {
    if (this.#over.has(service)) return
    const name = `${service.name}-${++this.#born}`
    const sane = this.adapter(name)
    const inner = this.#plant?.adapter?.(sane, name, this) ?? sane
    const machine = new Machine(this, name, dead => {
      this.running.delete(dead)
      // Its connection breaks at once, or nobody notices before its session ends.
      if (this.random.chance(0.3)) void inner.close()
      else this.scheduler.after(this.session, () => void inner.close())
    })
    const stop = new AbortController()
    this.running.set(machine, { service, stop, inner })
    this.story.tell(() => `${name} starts`)
    service.run(machine, this.#host(machine, inner), stop.signal).then(
      () => {
        if (machine.alive && !stop.signal.aborted) this.complete.add(service)
        this.#ended(machine)
      },
      error => this.#failed(machine, error)
    )
  }

  /** A program is told to drain. */
  stop(machine: Machine): void {
    this.running.get(machine)?.stop.abort()
  }

  /** All machines of a service are told to drain, and none is started any more. */
  end(service: Service): void {
    this.complete.add(service)
    this.#over.add(service)
    for (const [machine, running] of this.running) if (running.service === service) this.stop(machine)
  }

  /** How long a machine may be silent now, which is to be so for `wanted` ms: what there was right before counts, and all is at most `most`. */
  pause(machine: Machine, wanted: number, most: number): number {
    const { now } = this.scheduler
    const before = this.#silent.get(machine)
    const from = before && now < before.until + aMoment ? before.from : now
    const until = Math.max(now, Math.min(now + wanted, from + most))
    this.#silent.set(machine, { from, until: Math.max(until, before?.until ?? 0) })
    return until - now
  }

  heal(): void {
    this.story.tell(() => 'all faults end')
    this.healedAt = this.scheduler.now
    this.network.heal()
    this.closed.openAll()
    for (const machine of this.running.keys()) {
      machine.stoppedUntil = Math.min(machine.stoppedUntil, this.scheduler.now)
      this.broker.faults.resumeHeartbeats(machine.name)
    }
  }

  #host(machine: Machine, inner: AnyAdapter): RunHost {
    const adapter = remoteAdapter(machine, inner)
    const remote = remoteStore(machine, this.store)
    const store = this.#plant?.store?.(remote, machine, this) ?? remote
    return {
      environment: machine.environment,
      registry: undefined,
      adapterOf: () => adapter,
      commitIn: this.personality.commitIn,
      openStore: async () => store
    }
  }

  #failed(machine: Machine, error: unknown): void {
    if (!machine.alive) return
    // The broker or the store could not be reached for so long that it gave up: whoever runs it starts it again.
    if (
      StreamError.is(error) &&
      error.retryable &&
      error.code === 'connection' &&
      this.scheduler.now < this.healedAt + 10_000
    )
      this.story.tell(() => `${machine.name} gives up: ${error.message}`)
    // It was told to stop, and waited for a destination that does not answer for longer than the shortest time to drain.
    else if (this.running.get(machine)?.stop.signal.aborted && hangsLong(error))
      this.story.tell(() => `${machine.name} stops: ${messageOf(error)}`)
    else this.failures.push(`${machine.name}: ${explain(error)}`)
    this.#ended(machine)
  }

  #ended(machine: Machine): void {
    if (!machine.alive) return
    this.story.tell(() => `${machine.name} has ended`)
    void this.running.get(machine)?.inner.close()
    this.running.delete(machine)
  }
}

/** A second to drain, and one more for a handler to heed its signal. */
function hangsLong(error: unknown): boolean {
  const [, seconds] = /do not come back: .* has been writing for (\d+) s/.exec(messageOf(error)) ?? []
  return Number(seconds) >= 2
}

function explain(error: unknown): string {
  const { code = '', stack = '', cause } = error as { code?: string; stack?: string; cause?: unknown }
  const where = stack
    .split('\n')
    .slice(1, 4)
    .map(line => line.trim())
  return `${code} ${messageOf(error)} ${where.join(' < ')}${cause ? ` because of ${explain(cause)}` : ''}`
}
