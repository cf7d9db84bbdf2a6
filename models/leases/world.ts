import {
  newMember,
  stepLeases,
  type LeaseEffect,
  type LeaseEvent,
  type LeasePhase,
  type LeaseState
} from '../../src/exactly-once/lease-protocol.ts'
import type { Lease, Seen } from '../../src/exactly-once/leases.ts'

/**
 * Members that share leases over a table of conditional writes: the production state machine, one call of the store at a time,
 * members that are stopped for any while and go on, or die. Time goes in quarters of a session, and only relative times and
 * equalities of beats are kept, so that the world is finite.
 */
export interface Member {
  readonly me: string
  readonly leases: readonly (readonly [string, LeasePhase])[]
  readonly seen: readonly (readonly [string, Seen])[]
  /** Quarters ago; `null`: never. */
  readonly lookedAgo: number | null
  readonly beatAgo: number | null
  /** What it is still to do in this turn. */
  readonly pending: readonly LeaseEffect[]
  /** What the front works on, and of that, what it was told to let go. */
  readonly front: readonly string[]
  readonly leaving: readonly string[]
  readonly stopped: boolean
  readonly gone: boolean
  /** It has had its turn in this quarter. */
  readonly turned: boolean
  /** Quarters since it was last stopped. */
  readonly awake: number
}

export interface World {
  readonly rows: readonly Lease[]
  readonly members: readonly Member[]
  readonly stops: number
  readonly deaths: number
  readonly failure?: string
}

export interface Rules {
  readonly units: readonly string[]
  readonly stops: number
  readonly deaths: number
  /** Does the table take a take? */
  takes(now: Lease | undefined, seen: Lease | undefined): boolean
  /** Effects that the host forgets to carry out. */
  readonly forgets: readonly LeaseEffect['do'][]
  /** A member that was stopped counts all of that time against the others. */
  readonly countsStops: boolean
  /** What was lost is taken again at once, though the front still works on it. */
  readonly forgetsLost: boolean
}

/** Quarters. */
export const session = 4
const most = 2 * session

export const rules: Rules = {
  units: ['0', '1'],
  stops: 1,
  deaths: 1,
  takes: (now, seen) => now?.owner === seen?.owner && now?.beat === seen?.beat,
  forgets: [],
  countsStops: false,
  forgetsLost: false
}

export function start({ stops, deaths }: Rules): World {
  return { rows: [], members: ['A', 'B'].map(newcomer), stops, deaths }
}

function newcomer(name: string): Member {
  const { me } = newMember(name, session, [])
  const times = { lookedAgo: null, beatAgo: null }
  const nothing = { leases: [], seen: [], pending: [], front: [], leaving: [] }
  return { me, ...nothing, ...times, stopped: false, gone: false, turned: false, awake: most }
}

function stateOf(rules: Rules, { me, leases, seen, lookedAgo, beatAgo }: Member): LeaseState {
  return {
    ...newMember(me.split('/')[0]!, session, rules.units),
    leases: new Map(leases),
    seen: new Map(seen),
    lookedAt: lookedAgo === null ? undefined : -lookedAgo,
    beatAt: beatAgo === null ? undefined : -beatAgo
  }
}

const replace = <Item>(items: readonly Item[], at: number, item: Item): Item[] =>
  items.map((old, index) => (index === at ? item : old))
const byName = ([left]: readonly [string, unknown], [right]: readonly [string, unknown]): number =>
  left < right ? -1 : 1

/** Lets the state machine take an event; what it tells the front is told at once, the rest is still to be done. */
function feed(rules: Rules, world: World, index: number, event: LeaseEvent): World {
  const member = world.members[index]!
  const [state, effects] = stepLeases(stateOf(rules, member), event)
  let failure = world.failure
  let { front, leaving } = member
  for (const effect of effects) {
    if (effect.do !== 'tell') continue
    const { name, news } = effect
    if (news === 'taken') {
      if (front.includes(name)) failure ??= `TWO LIVES of ${name} at ${member.me}`
      front = [...new Set([...front, name])].sort()
    } else if (front.includes(name)) leaving = [...new Set([...leaving, name])].sort()
  }
  const next: Member = {
    ...member,
    front,
    leaving,
    leases: [...state.leases].sort(byName),
    seen: [...state.seen]
      .map(([name, seen]) => [name, { ...seen, still: Math.min(seen.still, most) }] as const)
      .sort(byName),
    lookedAgo: state.lookedAt === undefined ? null : Math.min(-state.lookedAt, most),
    beatAgo: state.beatAt === undefined ? null : Math.min(-state.beatAt, most),
    pending: [...member.pending, ...effects.filter(effect => effect.do !== 'tell')]
  }
  return { ...world, members: replace(world.members, index, next), ...(failure !== undefined && { failure }) }
}

/** The first half of a turn: beats, gives back, looks. */
export function turn(rules: Rules, world: World, index: number): World {
  let next = feed(rules, world, index, { type: 'due', now: 0 })
  // Its last effect is the look, which is done below.
  while (next.members[index]!.pending.length > 0) next = perform(rules, next, index)
  const turned = { ...next.members[index]!, turned: true }
  return look(rules, { ...next, members: replace(next.members, index, turned) }, index)
}

function look(rules: Rules, world: World, index: number): World {
  const member = world.members[index]!
  const ago = member.lookedAgo ?? 0
  let next = world
  if (rules.forgetsLost)
    next = {
      ...next,
      members: replace(next.members, index, {
        ...member,
        leases: member.leases.filter(([, phase]) => phase !== 'lost')
      })
    }
  // As if it had looked all the while it was stopped.
  if (rules.countsStops && ago > 1)
    for (let quarter = ago; quarter > 1; quarter--) {
      next = feed(rules, next, index, { type: 'looked', rows: world.rows, from: -quarter + 1, to: -quarter + 1 })
      next = { ...next, members: replace(next.members, index, { ...next.members[index]!, pending: [] }) }
    }
  return feed(rules, next, index, { type: 'looked', rows: world.rows, from: 0, to: 0 })
}

/** One call of the store. */
export function perform(rules: Rules, world: World, index: number): World {
  const member = world.members[index]!
  const [effect, ...pending] = member.pending
  const rest: World = { ...world, members: replace(world.members, index, { ...member, pending }) }
  if (!effect || rules.forgets.includes(effect.do)) return rest
  const { me } = member
  const rowOf = (name: string): Lease | undefined => world.rows.find(row => row.name === name)
  const write = (row: Lease): World => ({
    ...rest,
    rows: [...rest.rows.filter(({ name }) => name !== row.name), row].sort((left, right) =>
      left.name < right.name ? -1 : 1
    )
  })
  switch (effect.do) {
    case 'beat': {
      const rows = rest.rows.map(row => (row.owner === me ? { ...row, beat: row.beat + 1 } : row))
      return feed(rules, { ...rest, rows }, index, { type: 'beaten', at: 0 })
    }
    case 'take': {
      const { name, seen } = effect
      const now = rowOf(name)
      if (!rules.takes(now, seen)) return rest
      const robbed = world.members.find(
        other => other.me === now?.owner && other.me !== me && !other.gone && !other.stopped && other.awake > session
      )
      const taken = write({ name, owner: me, beat: (now?.beat ?? 0) + 1, wish: undefined })
      const failure = robbed && `ROBBED ${me} takes ${name} from ${robbed.me}, which beats`
      return feed(rules, { ...taken, ...(failure && { failure }) }, index, { type: 'took', name })
    }
    case 'ask': {
      const now = rowOf(effect.name)
      return now?.owner === undefined ? rest : write({ ...now, wish: me })
    }
    case 'free': {
      const now = rowOf(effect.name)
      const freed =
        now?.owner === me ? write({ name: effect.name, owner: undefined, beat: now.beat + 1, wish: undefined }) : rest
      return feed(rules, freed, index, { type: 'freed', name: effect.name })
    }
    case 'remove': {
      const now = rowOf(effect.seen.name)
      const same = now?.owner === effect.seen.owner && now?.beat === effect.seen.beat
      return same ? { ...rest, rows: rest.rows.filter(row => row !== now) } : rest
    }
    default:
      return rest
  }
}

/** The front has ended its work on a lease that it was told to let go. */
export function letGo(rules: Rules, world: World, index: number, name: string): World {
  const member = world.members[index]!
  const without = (names: readonly string[]): string[] => names.filter(other => other !== name)
  const next = { ...member, front: without(member.front), leaving: without(member.leaving) }
  return feed(rules, { ...world, members: replace(world.members, index, next) }, index, { type: 'let-go', name })
}

/** A quarter of a session goes by. */
export function tick(world: World): World {
  const later = (ago: number | null): number | null => (ago === null ? null : Math.min(ago + 1, most))
  const members = world.members.map(member => ({
    ...member,
    lookedAgo: later(member.lookedAgo),
    beatAgo: later(member.beatAgo),
    turned: false,
    awake: member.stopped ? 0 : Math.min(member.awake + 1, most)
  }))
  return { ...world, members }
}

/** Beats count for their equality only: the same worlds must look the same. */
export function canonical(world: World): World {
  const used = new Map<string, Set<number>>()
  const use = (row: { readonly name: string; readonly beat: number } | undefined): void => {
    if (row) used.set(row.name, (used.get(row.name) ?? new Set()).add(row.beat))
  }
  for (const row of world.rows) use(row)
  for (const { seen, pending } of world.members) {
    for (const [name, { beat }] of seen) use({ name, beat })
    for (const effect of pending) if ('seen' in effect) use(effect.seen)
  }
  const ranks = new Map<string, readonly number[]>()
  for (const [name, beats] of used)
    ranks.set(name, [0, ...[...beats].filter(beat => beat > 0).sort((left, right) => left - right)])
  const rank = (name: string, beat: number): number => ranks.get(name)!.indexOf(beat)
  const row = <Row extends Lease>(old: Row): Row => ({ ...old, beat: rank(old.name, old.beat) })
  return {
    ...world,
    rows: world.rows.map(row),
    members: world.members.map(member => ({
      ...member,
      seen: member.seen.map(([name, seen]) => [name, { ...seen, beat: rank(name, seen.beat) }] as const),
      pending: member.pending.map(effect =>
        'seen' in effect && effect.seen ? { ...effect, seen: row(effect.seen) } : effect
      )
    }))
  }
}
