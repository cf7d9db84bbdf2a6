/**
 * Five hops over three brokers in virtual time, and one fault. Two are asked who is to blame: a watcher from outside, and the last
 * hop, which knows only what has come to it with its records.
 */
import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import { sleep } from '../../src/core/environment.ts'
import { MemoryStore } from '../../src/exactly-once/index.ts'
import { number, pipeline, processor, source, text, topic, type Pipeline, type Topic } from '../../src/index.ts'
import { VitalsView } from '../../src/pipeline/index.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'
import { ailments, type Trouble } from '../../src/watermark/index.ts'
import { watch, type Snapshot } from '../../src/watch/index.ts'
import { chooseFault, faultKinds, type Fault, type Mood } from './fault.ts'
import { Hop } from './hop.ts'

/** The source and five processors. */
export const hopNames = ['ticker', 'clean', 'average', 'momentum', 'risk', 'decide'] as const
const stages = hopNames.map(name => `${name}-team/${name}`)
/** Within this the culprit must be named, ms. */
const limit = 5_000
const step = 250

export interface Named {
  /** The worst trouble that was told at the end, as `stage: cause`. */
  readonly last: string
  readonly isRight: boolean
  /** After how long the right one was told, ms; `undefined` when it was not. */
  readonly after: number | undefined
  /** Healthy stages that were said to be in trouble at any time, as `stage: cause`. */
  readonly accused: readonly string[]
}

export interface Trial {
  readonly seed: number
  readonly fault: Fault
  readonly stage: string
  /** The watcher. */
  readonly outside: Named
  /** The last hop; `undefined` when it was the victim of what leaves nobody to ask. */
  readonly inside: Named | undefined
  readonly ok: boolean
}

export async function runTrial(seed: number): Promise<Trial> {
  const environment = new SimulatedEnvironment({ seed })
  const random = (): number => environment.random()
  const fault = chooseFault(faultKinds[seed % faultKinds.length]!, hopNames.length, random)
  const stage = stages[fault.victim]!
  const right = fault.causes.map(cause => `${stage}: ${cause}`)
  const moods = hopNames.map((): Mood => ({ takes: 0, fails: 0, late: 0 }))
  const brokers = { one: new MemoryBroker(), two: new MemoryBroker(), three: new MemoryBroker() }
  const definitions = hopNames.map((_, index) => topic(`hop-${index + 1}`, { key: text, value: number, partitions: 2 }))
  const topics: Topics = Object.fromEntries(
    definitions.map(({ name }, index) => [name, { broker: Object.keys(brokers)[index % 3]! }])
  )
  const store = new MemoryStore()
  const hops = hopNames.map(name => new Hop({ name, environment, store, brokers, topics }))
  const apps = chain(definitions, moods, environment, () => hops[0]!.clock.now())
  for (const [name, { broker }] of Object.entries(topics))
    brokers[broker as keyof typeof brokers].createTopic({ topic: name, partitions: 2 })
  for (const [index, hop] of hops.entries()) void hop.run(apps[index]!).catch(() => {})

  let snapshot: Snapshot | undefined
  const stop = new AbortController()
  const watched = Object.entries(brokers).map(
    ([name, broker]) => [name, memory({ broker, client: 'watcher' })] as const
  )
  const options = { environment, signal: stop.signal, variables: {} }
  const watching = (async () => {
    for await (const each of watch(Object.fromEntries(watched), options)) snapshot = each
  })()
  // What the last hop knows is what it tells.
  const observer = memory({ broker: brokers[topics[definitions.at(-1)!.name]!.broker as 'one'], client: 'observer' })
  await observer.open(environment)
  const view = new VitalsView(observer, environment)
  const fromInside = (): Trouble[] =>
    [...view.tasks.values()]
      .filter(({ task }) => task.startsWith(`${stages.at(-1)!}/`))
      .flatMap(({ health }) => health?.troubles ?? [])
      .sort((left, right) => ailments.indexOf(left.cause) - ailments.indexOf(right.cause))
  const outside = new Witness(right, stage)
  const inside = new Witness(right, stage)
  const look = (since: number | undefined): void => {
    outside.hear(snapshot?.troubles ?? [], since)
    inside.hear(fromInside(), since)
  }

  // A while of health: who is accused now is accused wrongly.
  await environment.advance(8_000)
  await environment.run(view.open())
  for (let at = 0; at < 4_000 + random() * 60_000; at += step) {
    await environment.advance(step)
    look(undefined)
  }
  inject(fault, moods[fault.victim]!, hops[fault.victim]!, topics)
  for (let at = step; at <= limit; at += step) {
    await environment.advance(step)
    look(at)
  }
  for (const hop of hops) hop.kill()
  stop.abort()
  await environment.run(Promise.all([watching, view.close()]))
  // A last hop that is dead, or that nobody reaches, is not asked.
  const isGone =
    fault.victim === hops.length - 1 && (fault.kind === 'stopped' || (fault.kind === 'cut off' && !fault.oneSided))
  const verdicts = { outside: outside.named(), inside: isGone ? undefined : inside.named() }
  const ok = [verdicts.outside, verdicts.inside].every(
    each => each === undefined || (each.after !== undefined && each.isRight && each.accused.length === 0)
  )
  return { seed, fault, stage, ...verdicts, ok }
}

class Witness {
  readonly #right: readonly string[]
  readonly #stage: string
  readonly #accused = new Set<string>()
  #after: number | undefined
  #last = 'nobody'

  constructor(right: readonly string[], stage: string) {
    this.#right = right
    this.#stage = stage
  }

  /** @param since the fault, ms; `undefined` before it */
  hear(troubles: readonly Trouble[], since: number | undefined): void {
    const told = troubles.map(({ stage, cause }) => `${stage}: ${cause}`)
    for (const [index, { stage }] of troubles.entries())
      if (stage !== this.#stage || since === undefined) this.#accused.add(told[index]!)
    this.#last = told[0] ?? 'nobody'
    if (since !== undefined && this.#right.includes(this.#last)) this.#after ??= since
  }

  named(): Named {
    return {
      last: this.#last,
      isRight: this.#right.includes(this.#last),
      after: this.#after,
      accused: [...this.#accused]
    }
  }
}

function inject({ kind, size, oneSided, victim }: Fault, mood: Mood, hop: Hop, topics: Topics): void {
  if (kind === 'slow') mood.takes = size
  else if (kind === 'failing') mood.fails = size
  else if (kind === 'late') mood.late = size
  else if (kind === 'skewed') hop.clock.ahead = size
  else if (kind === 'stopped') hop.kill()
  else hop.cutOff(oneSided ? [topics[`hop-${victim}`]!.broker] : ['one', 'two', 'three'])
}

type Topics = Readonly<Record<string, { readonly broker: string }>>

/**
 * Ten ticks a second on each of two partitions, through all hops; what a hop does is decided by its mood.
 *
 * @param now by the clock of the source
 */
function chain(
  definitions: readonly Topic<string, string, number>[],
  moods: readonly Mood[],
  environment: SimulatedEnvironment,
  now: () => number
): Pipeline[] {
  const isLate = (share: number): boolean => environment.random() < share
  const ticker = source({
    name: 'ticker',
    to: definitions[0]!,
    failure: { retries: 1_000 },
    async *run({ resume, signal }) {
      for (let tick = Number(resume ?? 0); !signal.aborted; tick++) {
        const { takes, fails, late } = moods[0]!
        if (environment.random() < fails) throw new Error('the exchange is closed')
        if (takes) await sleep(environment, takes, signal).catch(() => {})
        yield { key: `k${tick % 8}`, value: tick, eventTime: now() - (isLate(late) ? 20_000 : 0), cursor: tick + 1 }
        await sleep(environment, 50, signal).catch(() => {})
      }
    }
  })
  const processors = hopNames.slice(1).map((name, index) => {
    const mood = moods[index + 1]!
    const to = definitions[index + 1]!
    return processor({
      name,
      from: definitions[index]!,
      to,
      failure: { retries: 100, backoff: { first: 20, most: 100 } },
      async process({ key, value, eventTime }) {
        if (environment.random() < mood.fails) throw new Error('the moon is full')
        if (mood.takes) await sleep(environment, mood.takes)
        return { key, value, eventTime: eventTime - (isLate(mood.late) ? 20_000 : 0) }
      }
    })
  })
  return [ticker, ...processors].map(stage => pipeline(`${stage.name}-team`, [stage]))
}
