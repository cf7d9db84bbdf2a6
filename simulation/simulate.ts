import { CallLog, type CrashPoint } from './core/call-log.ts'
import { tellDiagnostics } from './core/diagnostics.ts'
import { Random } from './core/random.ts'
import { Endless } from './core/scheduler.ts'
import { fine, type Weather } from './network/network.ts'
import { checkHistories } from './oracle/commit-oracle.ts'
import { Evidence } from './oracle/evidence.ts'
import { Problems, type Problem } from './oracle/problems.ts'
import type { Personality } from './personalities/personality.ts'
import type { Plant } from './planted/plant.ts'
import type { Suite } from './scenario.ts'
import type { Timely } from './shop/observations.ts'
import { inject, planFaults, type Fault } from './world/faults.ts'
import { World } from './world/world.ts'

export interface SimulationOptions {
  readonly seed: number
  readonly suite: Suite
  readonly personality: Personality
  /** Keep what happened. */
  readonly told?: boolean
  /** Faults of the plan to leave out, by their number; `all`: a run without any. */
  readonly without?: ReadonlySet<number> | 'all'
  readonly crash?: CrashPoint | undefined
  readonly recordCalls?: boolean
  readonly plant?: Plant | undefined
}

export interface Simulated {
  readonly problems: readonly Problem[]
  readonly faults: readonly Fault[]
  readonly story: readonly string[]
  readonly calls: CallLog
  readonly events: number
  /** Virtual ms. */
  readonly time: number
  /** What the handlers were told. */
  readonly timely: Timely
}

/** Virtual time that a run may take once all faults are over, ms. */
const patience = 300_000
const mostEvents = 600_000
/** From the last fault to the end of all of them, ms. */
const calm = 3_000

/** One run: everything in it follows from the seed. */
export async function simulate(options: SimulationOptions): Promise<Simulated> {
  const { seed, personality, told = false, without = new Set(), plant } = options
  const random = new Random(seed).fork('scenario')
  const problems = new Problems()
  const session = random.pick([2_000, 8_000])
  const scenario = options.suite(random.fork('suite'), personality, session, problems)
  const { services, duration } = scenario
  const quiet = random.chance(0.1) || without === 'all'
  const faults = planFaults(random.fork('faults'), quiet ? 0 : 1 + random.below(12), duration, scenario.weights)
  const weather = (): Weather => (quiet ? fine : weatherOf(random, scenario.longest ?? 60_000))
  const broker = weather()
  const calls = new CallLog(options.recordCalls === true, options.crash)
  const world = new World({
    seed,
    personality,
    session,
    calls,
    told,
    plant,
    weather: { broker, store: weather(), database: broker }
  })
  const { scheduler } = world

  await scenario.prepare?.(world)
  const unpatch = plant?.patch?.(world)
  const stopTelling = told ? tellDiagnostics(world.story) : undefined
  for (const service of services)
    for (let index = 0; index < service.machines; index++)
      scheduler.after((service.after ?? 0) + random.skewed(0, calm), () => world.start(service))
  faults.forEach((fault, index) => {
    if (without !== 'all' && !without.has(index)) scheduler.after(fault.at, () => inject(world, scenario, fault))
  })
  scheduler.after(duration + calm, () => {
    world.heal()
    scenario.afterwards?.(world)
  })
  const done = (): boolean => {
    if (world.failures.length > 0) return true
    if (!world.healed) return false
    for (const service of services)
      // The last machine of it was told to stop, or has died.
      if (!world.complete.has(service) && world.machinesOf(service) === 0) world.start(service)
    return world.running.size === 0
  }
  try {
    if (!(await scheduler.run(done, duration + calm + patience, mostEvents)))
      problems.add('unseen', 'nothing is left to happen, and the services have not ended')
  } catch (error) {
    if (!(error instanceof Endless)) throw error
    problems.add('unseen', error.message)
  } finally {
    stopTelling?.()
    unpatch?.()
  }
  for (const failure of world.failures) problems.add('failed', failure)
  if (world.failures.length === 0) {
    const evidence = new Evidence(world.broker, world.journal.commits, problems, personality.onceForAll)
    scenario.check(evidence, world)
    checkHistories(evidence, personality.ordered)
  }
  return {
    problems: problems.found,
    faults,
    story: world.story.lines,
    calls,
    events: scheduler.events,
    time: scheduler.now,
    timely: { ...scenario.seen.timely }
  }
}

function weatherOf(random: Random, longest: number): Weather {
  return {
    latency: random.pick([
      [0.1, 2],
      [0.2, 20],
      [1, 400]
    ] as const),
    loss: random.pick([0, 0, 0.01, 0.05]),
    copies: random.pick([0, 0, 0.02, 0.2]),
    stragglers: random.pick([0, 0, 0.01]),
    longest
  }
}
