import { assign } from '../core/assignment.ts'

/**
 * Leaderless balancing, pure: what one worker sees in the lease table, and what it should do about it. Leases only say
 * when to try; the fence is the conditional write of the commit store (law 4, protocol H3). Every worker computes the
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

/** Presence of a worker is a lease on its own name. */
export const presence = (owner: string): string => `~${owner}`
const isPresence = (name: string): boolean => name.startsWith('~')

/** What this worker remembers of a row: since when it has stood still, monotonic ms of this worker. */
export interface Seen {
  readonly owner: string | undefined
  readonly beat: number
  readonly since: number
}

export interface Observation {
  readonly seen: ReadonlyMap<string, Seen>
  /** Rows whose beat has stood still for a session: their owner is gone, or as good as. */
  readonly stale: ReadonlySet<string>
}

/** Watches beats stand still on the observer's own clock (KCL's counter style), never comparing wall clocks. */
export function observe(
  before: ReadonlyMap<string, Seen>,
  rows: readonly Lease[],
  now: number,
  session: number
): Observation {
  const seen = new Map<string, Seen>()
  const stale = new Set<string>()
  for (const { name, owner, beat } of rows) {
    const known = before.get(name)
    const still = known !== undefined && known.owner === owner && known.beat === beat
    const since = still ? known.since : now
    seen.set(name, { owner, beat, since })
    if (owner !== undefined && now - since >= session) stale.add(name)
  }
  return { seen, stale }
}

export interface Decision {
  /** Free, or left by somebody who is gone: take them. */
  readonly take: readonly string[]
  /** Held by others who have too many: ask for them. */
  readonly ask: readonly string[]
  /** Held by us, asked for, and rightly so: drain, commit, release. */
  readonly giveUp: readonly string[]
  /** Presence rows of workers that are gone. */
  readonly clear: readonly string[]
  /** Something is still on its way: look again soon. */
  readonly unsettled: boolean
}

/** What `me` should do. `units` are all leases that there are to hold, in an order that all workers share. */
export function balance(
  units: readonly string[],
  rows: readonly Lease[],
  stale: ReadonlySet<string>,
  me: string
): Decision {
  const byName = new Map(rows.map(row => [row.name, row]))
  const gone = new Set(rows.filter(row => isPresence(row.name) && stale.has(row.name)).map(row => row.owner))
  const workers = rows
    .filter(row => isPresence(row.name) && row.owner !== undefined && !gone.has(row.owner))
    .map(row => row.owner!)
    .sort()
  if (!workers.includes(me)) workers.push(me)
  const holder = (name: string): string | undefined => {
    const owner = byName.get(name)?.owner
    return owner === undefined || stale.has(name) || !workers.includes(owner) ? undefined : owner
  }
  const current = units.map(holder)
  const target = assign(units.length, workers, current)
  const take: string[] = []
  const ask: string[] = []
  const giveUp: string[] = []
  let unsettled = false
  for (const [index, name] of units.entries()) {
    const wanted = target[index]
    const has = current[index]
    if (wanted === has) continue
    unsettled = true
    // Somebody who is not in the table may still hold it: then it is taken once its beat has stood still.
    const row = byName.get(name)
    const free = row?.owner === undefined || stale.has(name)
    if (has === undefined && wanted === me && free) take.push(name)
    else if (has !== undefined && has !== me && wanted === me && row?.wish !== me) ask.push(name)
    else if (has === me && row?.wish !== undefined) giveUp.push(name)
  }
  const clear = rows.filter(row => isPresence(row.name) && stale.has(row.name)).map(row => row.name)
  return { take, ask, giveUp, clear, unsettled }
}
