import { assign } from '../core/assignment.ts'

/**
 * Leaderless balancing, pure: what one member sees in the lease table, and what it should do about it. Leases only say
 * when to try; the fence is the conditional write of the commit store (law 4, protocol H3). Every member computes the
 * same target from the same rows; where they see different rows for a moment, conditional writes settle it.
 */

/** A row of the lease table. Conditional writes compare `owner` and `beat`. */
export interface Lease {
  readonly name: string
  /** `undefined`: free. */
  readonly owner: string | undefined
  /** Counted up by its owner, and by whoever changes the row. */
  readonly beat: number
  /** Who asks the owner to give it up, if anybody. */
  readonly wish: string | undefined
}

/** Presence of a member is a row on its own name. */
export const presence = (owner: string): string => `~${owner}`
const isPresence = ({ name, owner }: Lease): boolean => owner !== undefined && name === presence(owner)

/** The id of a member tells how long it may be silent: those who watch it may be configured otherwise. */
export const memberId = (id: string, session: number): string => `${id}/${Math.ceil(session)}`
const sessionOf = (owner: string | undefined): number | undefined => {
  const session = owner === undefined ? undefined : /\/(\d+)$/.exec(owner)?.[1]
  return session === undefined ? undefined : Number(session)
}

/** What this member remembers of a row. */
export interface Seen {
  readonly owner: string | undefined
  readonly beat: number
  /** For how long it was seen to stand still, ms. */
  readonly still: number
}

export interface Observation {
  readonly seen: ReadonlyMap<string, Seen>
  /** Rows of others whose beat has stood still for their session: their owner is gone, or as good as. */
  readonly stale: ReadonlySet<string>
  /** Free for a session, or stale for another one: whoever should have it does not know of it, or cannot. */
  readonly unclaimed: ReadonlySet<string>
}

/**
 * Watches beats stand still on the observer's own clock (KCL's counter style), never comparing wall clocks. One look
 * counts for a quarter of the session at most: an observer that was stopped, together with all others or alone, must see
 * for itself that the others do not go on.
 *
 * @param passed ms between the answer to the last look and the question of this one
 * @param units names of leases, which may not have a row yet
 */
export function observe(
  before: ReadonlyMap<string, Seen>,
  rows: readonly Lease[],
  units: readonly string[],
  passed: number,
  session: number,
  me: string
): Observation {
  const seen = new Map<string, Seen>()
  const stale = new Set<string>()
  const unclaimed = new Set<string>()
  const watch = (name: string, owner: string | undefined, beat: number): void => {
    const known = before.get(name)
    const patience = sessionOf(owner) ?? session
    const same = known !== undefined && known.owner === owner && known.beat === beat
    const still = same ? known.still + Math.min(Math.max(0, passed), patience / 4) : 0
    seen.set(name, { owner, beat, still })
    if (owner !== undefined && still >= patience) stale.add(name)
    if (still >= (owner === undefined ? patience : 2 * patience)) unclaimed.add(name)
  }
  for (const { name, owner, beat } of rows) if (owner !== me) watch(name, owner, beat)
  const known = new Set(rows.map(({ name }) => name))
  for (const name of units) if (!known.has(name)) watch(name, undefined, 0)
  return { seen, stale, unclaimed }
}

export interface Decision {
  /** Free, or left by somebody who is gone: take them. */
  readonly take: readonly string[]
  /** Held by others who have too many: ask for them. */
  readonly ask: readonly string[]
  /** Ours, and somebody else's by rights, who has asked for it. */
  readonly giveUp: readonly string[]
  /** Ours, and by rights. */
  readonly keep: readonly string[]
  /** Members that are gone. */
  readonly clear: readonly Lease[]
  /** Something is still on its way: look again soon. */
  readonly unsettled: boolean
}

/** What `me` should do. `units` are all leases that there are to hold, in an order that all members share. */
export function balance(
  units: readonly string[],
  rows: readonly Lease[],
  { stale, unclaimed }: Pick<Observation, 'stale' | 'unclaimed'>,
  me: string
): Decision {
  const byName = new Map(rows.map(row => [row.name, row]))
  const clear = rows.filter(row => isPresence(row) && stale.has(row.name))
  const members = new Set(rows.flatMap(row => (isPresence(row) && !stale.has(row.name) ? [row.owner!] : [])))
  members.add(me)
  const holder = (name: string): string | undefined => {
    const owner = byName.get(name)?.owner
    return owner !== undefined && !stale.has(name) && members.has(owner) ? owner : undefined
  }
  const current = units.map(holder)
  const target = assign(units.length, [...members].sort(), current)
  const decision = { take: [] as string[], ask: [] as string[], giveUp: [] as string[], keep: [] as string[] }
  let unsettled = false
  for (const [index, name] of units.entries()) {
    const wanted = target[index]
    const has = current[index]
    const row = byName.get(name)
    if (wanted !== has) unsettled = true
    if (has === me) {
      if (wanted === me) decision.keep.push(name)
      else if (row?.wish !== undefined) decision.giveUp.push(name)
    } else if (has !== undefined) {
      if (wanted === me && row?.wish !== me) decision.ask.push(name)
    } else if (row?.owner === undefined || stale.has(name)) {
      // Somebody who is not in the table may still hold it: then it is taken once its beat has stood still.
      if (wanted === me || unclaimed.has(name)) decision.take.push(name)
    }
  }
  return { ...decision, clear, unsettled }
}
