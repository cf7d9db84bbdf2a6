/** What may happen to members, as data: fast-check makes it up, and shrinks what fails. */
import fc from 'fast-check'
import { pace, session, type Fault, type Member, type World } from './world.ts'

export type Act =
  | { readonly act: 'call' | 'work' | 'turn' | 'pause' | 'resume' | 'kill' | 'close'; readonly who: number }
  | { readonly act: 'fail'; readonly who: number; readonly fault: Fault }
  /** Time in which nobody does anything: the host slept. */
  | { readonly act: 'standstill'; readonly milliseconds: number }
  /** The clock of one member moves, the world's does not. */
  | { readonly act: 'jump'; readonly who: number; readonly milliseconds: number }
  | { readonly act: 'rounds'; readonly count: number }
  | { readonly act: 'join' }

const who = fc.nat({ max: 7 })
const faults = fc.constantFrom<Fault>('lose', 'hide')
const act: fc.Arbitrary<Act> = fc.oneof(
  { arbitrary: fc.record({ act: fc.constantFrom('call' as const, 'work' as const), who }), weight: 8 },
  { arbitrary: fc.record({ act: fc.constant('turn' as const), who }), weight: 4 },
  { arbitrary: fc.record({ act: fc.constant('rounds' as const), count: fc.integer({ min: 1, max: 30 }) }), weight: 4 },
  { arbitrary: fc.record({ act: fc.constant('fail' as const), who, fault: faults }), weight: 4 },
  { arbitrary: fc.record({ act: fc.constantFrom('pause' as const, 'resume' as const), who }), weight: 3 },
  {
    arbitrary: fc.record({
      act: fc.constant('standstill' as const),
      milliseconds: fc.integer({ min: 1, max: 3 * session })
    }),
    weight: 3
  },
  {
    arbitrary: fc.record({
      act: fc.constant('jump' as const),
      who,
      milliseconds: fc.integer({ min: 1, max: 10 * session })
    }),
    weight: 1
  },
  { arbitrary: fc.constant({ act: 'join' as const }), weight: 2 },
  { arbitrary: fc.record({ act: fc.constantFrom('kill' as const, 'close' as const), who }), weight: 1 }
)

export interface Script {
  readonly units: number
  readonly members: number
  readonly acts: readonly Act[]
}

export const script: fc.Arbitrary<Script> = fc.record({
  units: fc.integer({ min: 1, max: 9 }),
  members: fc.integer({ min: 1, max: 4 }),
  acts: fc.array(act, { maxLength: 60, size: 'max' })
})

export function play(world: World, { members, acts }: Script): void {
  for (let index = 0; index < members; index++) world.join()
  for (const step of acts) {
    if (step.act === 'join' && world.living.length >= 6) continue
    if (step.act === 'join') world.join()
    else if (step.act === 'standstill') world.standstill(step.milliseconds)
    else if (step.act === 'rounds') for (let round = 0; round < step.count; round++) world.round()
    else perform(world, world.members[step.who % world.members.length]!, step)
  }
}

function perform(world: World, member: Member, step: Extract<Act, { who: number }>): void {
  switch (step.act) {
    case 'call':
      return world.act(member)
    case 'work':
      return world.work(member, step.who)
    case 'turn':
      return world.turn(member)
    case 'fail':
      if (member.calls.length === 0) world.act(member)
      return world.act(member, step.fault)
    case 'pause':
      member.paused = true
      return
    case 'resume':
      member.paused = false
      return
    case 'jump':
      member.ahead += step.milliseconds
      member.jumps++
      return
    case 'kill':
    case 'close':
      // Somebody stays.
      if (world.living.length > 1 && member.acts) world[step.act](member)
  }
}

/** The faults are over: everybody runs. Gives how many rounds it took until all was shared out. */
export function settle(world: World): number {
  for (const member of world.members) member.paused = false
  if (world.living.length === 0) world.join()
  let calm = 0
  for (let round = 0; round < settled + calmRounds; round++) {
    world.round()
    calm = world.restless() === undefined ? calm + 1 : 0
    if (calm === calmRounds) return round - calm
  }
  throw new Error(`NOT SETTLED after ${settled} rounds: ${world.restless()}\n${describe(world)}`)
}

/** Calm for so long is calm for good: everybody has beaten in the meantime. */
const calmRounds = 6
/** A session until those who are gone are seen to be gone, and a few looks. */
const settled = session / pace + 10

export function describe(world: World): string {
  const rows = [...world.table.values()].map(
    ({ name, owner, beat, wish }) => `${name} ${owner} beat ${beat}${wish ? ` wish ${wish}` : ''}`
  )
  const members = world.members.map(
    ({ name, alive, lives, state }) =>
      `${name}${alive ? '' : ' dead'}${state.closed ? ' closed' : ''} works on [${[...lives.keys()]}] leases ${JSON.stringify([...state.leases])}`
  )
  return [...rows, ...members].join('\n')
}
