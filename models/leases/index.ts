import { explore } from '../explore.ts'
import type { Model } from '../model.ts'
import { canonical, letGo, perform, rules, start, tick, turn, type Rules, type World } from './world.ts'

const change = (world: World, index: number, given: Partial<World['members'][number]>): World => ({
  ...world,
  members: world.members.map((member, at) => (at === index ? { ...member, ...given } : member))
})

function successors(rules: Rules, world: World): (readonly [string, World])[] {
  const found: (readonly [string, World])[] = []
  if (world.failure) return found
  world.members.forEach((member, index) => {
    const { me, gone, stopped, pending, turned, leaving } = member
    if (gone) return
    if (stopped) return void found.push([`${me} goes on`, change(world, index, { stopped: false })])
    if (pending.length > 0) found.push([`${me} does ${JSON.stringify(pending[0])}`, perform(rules, world, index)])
    else if (!turned) found.push([`${me} looks`, turn(rules, world, index)])
    for (const name of leaving) found.push([`${me} lets go of ${name}`, letGo(rules, world, index, name)])
    if (world.stops > 0)
      found.push([`${me} is stopped`, { ...change(world, index, { stopped: true, awake: 0 }), stops: world.stops - 1 }])
    if (world.deaths > 0) {
      const dead = { gone: true, leases: [], seen: [], pending: [], front: [], leaving: [] }
      found.push([`${me} dies`, { ...change(world, index, dead), deaths: world.deaths - 1 }])
    }
  })
  const running = world.members.filter(({ gone, stopped }) => !gone && !stopped)
  if (running.every(({ turned, pending }) => turned && pending.length === 0))
    found.push(['a quarter goes by', tick(world)])
  return found.map(([name, next]) => [name, canonical(next)] as const)
}

/** Quarters of a session in which everything must have come to rest. */
const patience = 24

/** From here on without faults: in the end each lease is held by one who lives, and shared out evenly. */
function settles(rules: Rules, world: World): boolean {
  let now = world
  world.members.forEach((_, index) => (now = change(now, index, { stopped: false })))
  for (let quarter = 0; quarter < patience; quarter++) {
    for (const [index, { gone }] of now.members.entries()) {
      if (gone) continue
      if (!now.members[index]!.turned) now = turn(rules, now, index)
      while (now.members[index]!.pending.length > 0) now = perform(rules, now, index)
      for (const name of now.members[index]!.leaving) now = letGo(rules, now, index, name)
    }
    now = tick(now)
  }
  const living = now.members.filter(({ gone }) => !gone)
  const held = living.map(({ me, front, leaving }) =>
    leaving.length > 0
      ? -1
      : front.filter(name => now.rows.some(row => row.name === name && row.owner === me)).length === front.length
        ? front.length
        : -1
  )
  const fair = Math.max(...held) - Math.min(...held) <= 1 && !held.includes(-1)
  return fair && held.reduce((sum, count) => sum + count, 0) === rules.units.length
}

function leaseModel(
  name: string,
  what: string,
  expected: Model['expected'],
  changes: Partial<Rules>,
  deep = false
): Model {
  const all = { ...rules, ...changes }
  // A run to the end from every state is dear: only where that is the question.
  const mustSettle = expected === 'ok' || expected.test('UNSETTLED')
  return {
    name,
    what,
    expected,
    deep,
    explore: () =>
      explore({
        start: start(all),
        successors: world => successors(all, world),
        violation: world =>
          world.failure ??
          (!mustSettle || world.members.every(({ gone }) => gone) || settles(all, world)
            ? undefined
            : 'UNSETTLED some lease is never held, or never shared'),
        isGoal: world => world.members.every(({ front }) => front.length === 1),
        limit: 400_000
      })
  }
}

/** Leases: who beats is not robbed, nobody works on a lease in two lives, and in the end all are shared out. */
export const leaseModels: readonly Model[] = [
  leaseModel('L0', 'two members, two leases', 'ok', { stops: 0, deaths: 0 }),
  leaseModel('L0.d', 'and one of them dies', 'ok', { stops: 0 }),
  leaseModel('L0.s', 'and one of them is stopped for a while', 'ok', { deaths: 0 }),
  leaseModel('L1', 'a take without a condition', /ROBBED|TWO LIVES/, { takes: () => true }),
  leaseModel('L2', 'members do not beat', /ROBBED|UNSETTLED/, { forgets: ['beat'] }),
  leaseModel('L3', 'who was stopped counts that time against the others', /ROBBED/, {
    stops: 2,
    deaths: 0,
    countsStops: true
  }),
  leaseModel('L4', 'what was lost is taken again before its front has let go', /TWO LIVES/, { forgetsLost: true }),
  leaseModel('L5', 'what was let go is not given back', /UNSETTLED/, { forgets: ['free'] }),
  leaseModel('L6', 'nobody asks for a share', /UNSETTLED/, { forgets: ['ask'] })
]
