import type { RunOptions } from '../src/pipeline/index.ts'
import type { Random } from './core/random.ts'
import { checkOutputs } from './oracle/commit-oracle.ts'
import type { Scenario, Suite } from './scenario.ts'
import { Observations } from './shop/observations.ts'
import { checkShop } from './shop/oracle.ts'
import type { Problems } from './oracle/problems.ts'
import type { Personality } from './personalities/personality.ts'
import { writeScript, type Script } from './shop/script.ts'
import { shop, type ShopParts } from './shop/shop.ts'
import { Evidence } from './oracle/evidence.ts'
import { checkLiveness, checkSensors } from './sensors/oracle.ts'
import { gauge, runSensor, type SensorParts } from './sensors/sensors.ts'
import { pipelineService, type Service } from './world/service.ts'

const shopTopics: readonly string[] = ['orders', 'steps', 'totals', 'panes']

function settingsOf(random: Random, session: number): RunOptions {
  return {
    commitInterval: random.pick([5, 40, 200]),
    commitRecords: random.pick([1, 7, 1_000]),
    maxBufferedBytes: random.pick([2_000, 1_000_000]),
    sessionTimeout: session,
    drainTimeout: random.pick([1_000, 20_000]),
    vitalsInterval: random.pick([100, 1_000]),
    // A cell takes 160 bytes and more: some or none of the keys fit.
    maxStateBytes: random.fork('state').pick([1, 2_000, 256 * 1024 * 1024]),
    standby: random.fork('standby').chance(0.5)
  }
}

/** One service with all stages of the shop: commits, outputs, state, timers, a sink, through any fault. */
const exactlyOnce: Suite = (random, personality, session, problems) =>
  oneService(writeScript(random.fork('script')), 1 + random.below(3), random, personality, session, problems)

/** As little as makes all parts of the shop work, at two machines: to go through all its calls. */
export const smallShop: Suite = (random, personality, session, problems) =>
  oneService(writeScript(random.fork('script'), true), 2, random, personality, session, problems)

function oneService(
  script: Script,
  machines: number,
  random: Random,
  personality: Personality,
  session: number,
  problems: Problems
): Scenario {
  const parts: ShopParts = { script, rows: new Map(), seen: new Observations(problems), random, isOpen: () => false }
  const settings = settingsOf(random, session)
  return {
    services: [pipelineService('shop', machines, settings, machine => shop('shop', machine, parts))],
    duration: script.duration * random.between(0.3, 1.5) + 200,
    seen: parts.seen,
    topics: shopTopics,
    weights: {},
    check: evidence => {
      checkShop(evidence, { ...parts, ordered: personality.ordered, loses: personality.loses })
      checkOutputs(evidence, [...shopTopics, 'orders.parked'])
    }
  }
}

/** Two services, one behind the other, which are down for minutes: watermarks go from one to the other over the broker. */
export const twoServices: Suite = (random, personality, session, problems): Scenario => {
  const script = writeScript(random.fork('script'))
  let open = true
  const parts: ShopParts = { script, rows: new Map(), seen: new Observations(problems), random, isOpen: () => open }
  const settings = settingsOf(random, session)
  return {
    services: [
      pipelineService('front', 1 + random.below(2), settings, machine => shop('front', machine, parts)),
      pipelineService('back', 1 + random.below(2), settings, machine => shop('back', machine, parts))
    ],
    duration: script.duration * random.between(0.3, 1.5) + random.pick([200, 100_000]),
    seen: parts.seen,
    topics: shopTopics,
    weights: { 'a service is down': 5, 'a topic takes nothing': 5 },
    async prepare(world) {
      // A queue keeps nothing for readers that it does not know, and of vitals nothing at all: somebody must be there to tell.
      const admin = world.adapter('operator').admin()
      await admin.createTopic({ topic: 'steps', partitions: script.partitions })
      await admin.ensureGroup?.('back.count', 'steps')
    },
    afterwards: world => void world.scheduler.after(10_000, () => (open = false)),
    check: evidence => {
      checkShop(evidence, { ...parts, ordered: personality.ordered, loses: personality.loses })
      checkOutputs(evidence, [...shopTopics, 'orders.parked'])
    }
  }
}

/** Plain producers that come and go, in front of a pipeline: who counts, who is waited for, how near the present it stays. */
export const producers: Suite = (random, personality, session, problems): Scenario => {
  let now: () => number = () => 0
  let calm = false
  const parts: SensorParts = {
    partitions: 1 + random.below(4),
    lateness: random.pick([0, 50, 1_000]),
    tardiness: random.pick([0, 0.02, 0.2]),
    random,
    seen: new Observations(problems),
    confirmed: new Set(),
    time: () => now(),
    isCalm: () => calm
  }
  const sensors: Service = {
    name: 'sensor',
    groups: [],
    machines: 1 + random.below(3),
    most: 4,
    // On a queue who is asked has one second to answer: then the others are taken for all.
    after: personality.ordered ? 0 : 8_000,
    run: (machine, host, stop) => runSensor(machine, host, stop, parts)
  }
  const settings = settingsOf(random, session)
  const pipeline = pipelineService('gauge', 1 + random.below(2), settings, machine => gauge(machine, parts))
  return {
    services: [pipeline, sensors],
    duration: random.pick([2_000, 20_000, 60_000]),
    seen: parts.seen,
    topics: ['readings', 'echoes', 'panes'],
    // The one place where silence decides is that of a plain producer: who is slower than that is late, by right.
    longest: 5_000,
    // A queue forgets: who has left before anybody came is not known, and who does not answer at once neither.
    steady: personality.ordered ? undefined : sensors,
    constant: personality.ordered ? undefined : pipeline,
    weights: { 'a machine joins': 6, 'a service is down': personality.ordered ? 1 : 0, 'a topic takes nothing': 3 },
    async prepare(world) {
      now = () => world.scheduler.now
      const admin = world.adapter('operator').admin()
      await admin.createTopic({ topic: 'readings', partitions: parts.partitions })
      await admin.ensureGroup?.('gauge.gauge', 'readings')
    },
    afterwards(world) {
      calm = true
      const { scheduler } = world
      // A plain producer that has died is waited for until it has been silent for 30 s.
      scheduler.after(60_000, () => {
        const evidence = new Evidence(world.broker, world.journal.commits, problems)
        checkLiveness(
          evidence,
          { gauge: parts.partitions, board: 2, wall: parts.partitions },
          12_000 + parts.lateness,
          scheduler.now
        )
        world.end(sensors)
      })
      scheduler.after(75_000, () => world.end(pipeline))
    },
    check(evidence) {
      checkSensors(evidence, parts, personality.loses)
      checkOutputs(evidence, ['echoes', 'panes'])
    }
  }
}

export const suites: Readonly<Record<string, Suite>> = {
  'exactly-once': exactlyOnce,
  watermark: (random, ...rest) => (random.chance(0.5) ? twoServices : producers)(random, ...rest)
}
