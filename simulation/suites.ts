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
import { pipelineService } from './world/service.ts'

function settingsOf(random: Random, session: number): RunOptions {
  return {
    commitInterval: random.pick([5, 40, 200]),
    commitRecords: random.pick([1, 7, 1_000]),
    maxBufferedBytes: random.pick([2_000, 1_000_000]),
    sessionTimeout: session,
    drainTimeout: random.pick([1_000, 20_000]),
    vitalsInterval: random.pick([100, 1_000])
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
    weights: {},
    check: evidence => {
      checkShop(evidence, { ...parts, ordered: personality.ordered, loses: personality.loses })
      checkOutputs(evidence, ['orders', 'steps', 'totals', 'panes'])
    }
  }
}

/** Two services, one behind the other, which are down for minutes: watermarks go from one to the other over the broker. */
const twoServices: Suite = (random, personality, session, problems): Scenario => {
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
      checkOutputs(evidence, ['orders', 'steps', 'totals', 'panes'])
    }
  }
}

export const suites: Readonly<Record<string, Suite>> = { 'exactly-once': exactlyOnce, watermark: twoServices }
