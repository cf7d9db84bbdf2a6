import { balance, memberId, observe, presence, type Lease, type Seen } from './leases.ts'

/**
 * One member's part in sharing out leases as a pure state machine: `stepLeases(state, event)` gives the next state and
 * what the host must do. Production (`lease-group.ts`) and the property tests run this same function.
 *
 * - `held`: ours, and the front works on it. `asked`: it was told to drain and let go.
 * - `lost`: somebody else's by now, and the front was told. Not taken again before it has let go: two lives of one lease
 *   at one member would be taken for each other.
 * - `returned`: the front has let go; the row is to be freed, until the store has confirmed it.
 */
export type LeasePhase = 'held' | 'asked' | 'lost' | 'returned'

export interface LeaseState {
  readonly me: string
  readonly session: number
  /** All leases that there are to hold, sorted; none: takes no part, and others need not leave anything to it. */
  readonly units: readonly string[]
  readonly leases: ReadonlyMap<string, LeasePhase>
  readonly seen: ReadonlyMap<string, Seen>
  /** When the last look was answered, and the last confirmed beat sent: monotonic ms of this member. */
  readonly lookedAt: number | undefined
  readonly beatAt: number | undefined
  /** Something is on its way: look again soon. */
  readonly unsettled: boolean
  readonly closed: boolean
}

export type LeaseEvent =
  /** There are other leases to share now. */
  | { readonly type: 'units'; readonly units: readonly string[] }
  /** Time for a turn. */
  | { readonly type: 'due'; readonly now: number }
  /** A beat that was sent at that time has been confirmed. */
  | { readonly type: 'beaten'; readonly at: number }
  /** The rows as they were at one moment between these two. */
  | { readonly type: 'looked'; readonly rows: readonly Lease[]; readonly from: number; readonly to: number }
  | { readonly type: 'took'; readonly name: string }
  /** The front has ended its work on it, whether it was asked to, had lost it, or by itself. */
  | { readonly type: 'let-go'; readonly name: string }
  | { readonly type: 'freed'; readonly name: string }
  /** A call of the store has failed: whether it took effect is not known. */
  | { readonly type: 'failed'; readonly now: number }
  | { readonly type: 'close' }

export type LeaseEffect =
  | { readonly do: 'beat' }
  | { readonly do: 'look' }
  | { readonly do: 'take'; readonly name: string; readonly seen: Lease | undefined }
  | { readonly do: 'ask'; readonly name: string }
  | { readonly do: 'free'; readonly name: string }
  | { readonly do: 'remove'; readonly seen: Lease }
  | { readonly do: 'tell'; readonly name: string; readonly news: 'taken' | 'asked' | 'lost' }

export type LeaseStep = readonly [state: LeaseState, effects: readonly LeaseEffect[]]

/** @param session ms of silence after which a member counts as gone */
export function newMember(id: string, session: number, units: readonly string[]): LeaseState {
  const me = memberId(id, session)
  const times = { lookedAt: undefined, beatAt: undefined }
  return {
    me,
    session,
    units: sorted(units),
    leases: new Map(),
    seen: new Map(),
    ...times,
    unsettled: true,
    closed: false
  }
}

export function stepLeases(state: LeaseState, event: LeaseEvent): LeaseStep {
  switch (event.type) {
    case 'units':
      return [state.closed ? state : { ...state, units: sorted(event.units) }, []]
    case 'due': {
      const { beatAt } = state
      if (state.closed) return [state, [{ do: 'look' }]]
      const effects: LeaseEffect[] = []
      if (beatAt === undefined || event.now - beatAt >= state.session / 4) effects.push({ do: 'beat' })
      for (const [name, phase] of state.leases) if (phase === 'returned') effects.push({ do: 'free', name })
      effects.push({ do: 'look' })
      return [state, effects]
    }
    case 'beaten':
      return [{ ...state, beatAt: event.at }, []]
    case 'looked':
      return looked(state, event)
    case 'took': {
      const { name } = event
      if (name === presence(state.me)) return [state, []]
      if (state.closed) return [state, []]
      return [withPhase(state, name, 'held'), [{ do: 'tell', name, news: 'taken' }]]
    }
    case 'let-go': {
      const phase = state.leases.get(event.name)
      if (phase === undefined || phase === 'returned') return [state, []]
      return [withPhase(state, event.name, phase === 'lost' ? undefined : 'returned'), []]
    }
    case 'freed':
      return [state.leases.get(event.name) === 'returned' ? withPhase(state, event.name, undefined) : state, []]
    case 'failed':
      // Unreachable for longer than a session: others have our leases by now.
      return state.beatAt !== undefined && event.now - state.beatAt > state.session
        ? lose(state, () => true)
        : [state, []]
    case 'close':
      // The next look frees all that is ours, and our row with it: nobody leaves us a share then.
      return [{ ...state, units: [], leases: new Map(), closed: true }, []]
  }
}

function looked(before: LeaseState, { rows, from, to }: Extract<LeaseEvent, { type: 'looked' }>): LeaseStep {
  const { me, session, units } = before
  const byName = new Map(rows.map(row => [row.name, row]))
  const isOurs = (name: string): boolean => byName.get(name)?.owner === me
  const observation = observe(before.seen, rows, units, from - (before.lookedAt ?? from), session, me)
  let [state, effects] = lose({ ...before, seen: observation.seen, lookedAt: to }, name => !isOurs(name))
  const all: LeaseEffect[] = [...effects]
  for (const [name, phase] of state.leases)
    if (phase === 'returned' && !isOurs(name)) state = withPhase(state, name, undefined)

  const here = byName.get(presence(me))
  if (units.length > 0 && here?.owner !== me) all.push({ do: 'take', name: presence(me), seen: here })
  if (units.length === 0 && here) all.push({ do: 'remove', seen: here })

  const decision = balance(units, rows, observation, me)
  for (const seen of decision.clear) all.push({ do: 'remove', seen })
  // One that comes back after all begins with the same beat: it must not be taken for what was removed.
  const removed = new Set(decision.clear.map(({ name }) => name))
  state = { ...state, seen: new Map([...state.seen].filter(([name]) => !removed.has(name))) }
  // Ours by the table, and not here: what became of a call was not known. A take makes it known.
  const adopt = decision.keep.filter(name => !state.leases.has(name))
  for (const name of [...decision.take, ...adopt])
    if (!state.leases.has(name)) all.push({ do: 'take', name, seen: byName.get(name) })
  for (const name of decision.ask) all.push({ do: 'ask', name })
  for (const name of decision.giveUp) {
    if (state.leases.get(name) !== 'held') continue
    state = withPhase(state, name, 'asked')
    all.push({ do: 'tell', name, news: 'asked' })
  }
  const kept = new Set(decision.keep)
  for (const { name, owner } of rows)
    if (owner === me && name !== presence(me) && !kept.has(name) && !state.leases.has(name))
      all.push({ do: 'free', name })

  const moving = [...state.leases.values()].some(phase => phase !== 'held')
  return [{ ...state, unsettled: decision.unsettled || moving || all.length > 0 }, all]
}

/** Tells the front of those that it still works on, and that are not ours any more. */
function lose(before: LeaseState, gone: (name: string) => boolean): LeaseStep {
  let state = before
  const effects: LeaseEffect[] = []
  for (const [name, phase] of before.leases) {
    if ((phase !== 'held' && phase !== 'asked') || !gone(name)) continue
    state = withPhase(state, name, 'lost')
    effects.push({ do: 'tell', name, news: 'lost' })
  }
  return [state, effects]
}

function withPhase(state: LeaseState, name: string, phase: LeasePhase | undefined): LeaseState {
  const leases = new Map(state.leases)
  if (phase === undefined) leases.delete(name)
  else leases.set(name, phase)
  return { ...state, leases }
}

/** The same order at every member, whatever order each was told. */
function sorted(units: readonly string[]): readonly string[] {
  return [...new Set(units)].sort()
}
