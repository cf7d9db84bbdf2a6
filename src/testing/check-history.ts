import { isDeepStrictEqual } from 'node:util'

/** Names of anomalies, after those of `jepsen.tests.kafka`. */
export type Anomaly =
  /** Something was sent and has no effect at a place. */
  | 'lost-write'
  /** It has two, where one is promised. */
  | 'duplicate'
  /** Of the effects of one commit some are there and some are not. */
  | 'torn-commit'
  /** An effect that no committed work can have had. */
  | 'aborted-read'
  /** Effects of a key in another order than they had, or positions that go back. */
  | 'nonmonotonic-poll'
  /** Two different effects at one position. */
  | 'inconsistent-offset'
  /** State that is not what the inputs come to. */
  | 'wrong-state'
  /** The run did not come to its end. */
  | 'unseen'

/** What an effect can be told by: of the input that caused it. */
export type Identity = string | number

export interface SentRecord {
  readonly id: Identity
  readonly key: string
}

export interface SeenEffect {
  readonly id: Identity
  /** Default: that of the input. */
  readonly key?: string
  /** Its place in the order of its key; default: that in which the inputs of the key were sent. */
  readonly order?: number
  /** Where it was read; two different effects at one position contradict each other. */
  readonly partition?: number
  readonly position?: string | number | bigint
  /** Compared with what `expected` gives. */
  readonly value?: unknown
}

/** A topic, a table, a file: wherever each input was to leave one effect. */
export interface Place {
  /** In the order in which they are read. */
  readonly seen: Iterable<SeenEffect>
  /** What the effect of an input must be; left out: anything. */
  readonly expected?: (id: Identity) => unknown
  /** `counted`: a reader of ours drops repeats here, which are counted and are no anomaly. Default: `duplicate`. */
  readonly repeats?: 'counted' | 'duplicate'
  /** Does the order of a key hold here? Default true. */
  readonly ordered?: boolean
}

export interface History {
  /** In the order in which the records of a key were sent. */
  readonly sent: Iterable<SentRecord>
  readonly places: Readonly<Record<string, Place>>
  /** Names of places whose effects are of one commit: all of an input's, or none. */
  readonly together?: readonly (readonly string[])[]
  /** By key: what the store holds at the end, and what the inputs come to. */
  readonly state?: { readonly found: ReadonlyMap<string, unknown>; readonly expected: ReadonlyMap<string, unknown> }
  /** `false`: the run did not come to its end in time. */
  readonly ended?: boolean
}

export interface FoundAnomaly {
  readonly anomaly: Anomaly
  /** Which, and where. */
  readonly what: string
}

export interface HistoryVerdict {
  readonly found: readonly FoundAnomaly[]
  /** At places where they are counted. */
  readonly repeats: number
  /** Inputs. */
  readonly records: number
}

type Add = (anomaly: Anomaly, what: string) => void

/**
 * Counts again what came of a run, from nothing but what went in: whether every input has had each of its effects exactly once, in
 * order, whole and right. Knows nothing of how it was run, and reads everything once.
 *
 * @example
 * const { found } = checkHistory({
 *   sent: orders.map(({ id, customer }) => ({ id, key: customer })),
 *   places: { invoices: { seen: rows.map(({ order, cents }) => ({ id: order, value: cents })), expected: id => prices.get(id) } }
 * })
 * expect(found).toEqual([])
 */
export function checkHistory({ sent, places, together = [], state, ended = true }: History): HistoryVerdict {
  const found: FoundAnomaly[] = []
  const add: Add = (anomaly, what) => void found.push({ anomaly, what })
  if (!ended) add('unseen', 'the run did not come to its end')
  const inputs = new Map<Identity, { readonly key: string; readonly order: number }>()
  const counts = new Map<string, number>()
  for (const { id, key } of sent) {
    const order = (counts.get(key) ?? 0) + 1
    counts.set(key, order)
    if (inputs.has(id)) throw new Error(`two inputs have the identity ${id}: effects cannot be told apart`)
    inputs.set(id, { key, order })
  }
  const seen = new Map<string, Set<Identity>>()
  let repeats = 0
  for (const [name, place] of Object.entries(places)) {
    const ids = new Set<Identity>()
    repeats += checkPlace(name, place, inputs, ids, add)
    seen.set(name, ids)
  }
  for (const names of together) checkTogether(names, seen, add)
  if (state) checkState(state.found, state.expected, add)
  return { found, repeats, records: inputs.size }
}

type Inputs = ReadonlyMap<Identity, { readonly key: string; readonly order: number }>

/** Gives how many repeats are counted there. */
function checkPlace(
  name: string,
  { seen, expected, repeats: policy = 'duplicate', ordered = true }: Place,
  inputs: Inputs,
  ids: Set<Identity>,
  add: Add
): number {
  let repeats = 0
  const last = new Map<string, number>()
  const positions = new Map<string, SeenEffect>()
  for (const effect of seen) {
    const { id, value } = effect
    const input = inputs.get(id)
    checkPosition(name, effect, positions, add)
    if (!input || (effect.key !== undefined && effect.key !== input.key))
      add('aborted-read', `${name}: ${shown(effect)}, which no input can have caused`)
    else if (expected && !isSame(value, expected(id)))
      add('aborted-read', `${name}: ${id} is ${shown(value)}, should be ${shown(expected(id))}`)
    if (ids.has(id)) {
      if (policy === 'counted') repeats++
      else add('duplicate', `${name}: ${id}`)
      // Of repeats the first one counts, as it does for a reader that drops them.
      continue
    }
    ids.add(id)
    const key = effect.key ?? input?.key
    const order = effect.order ?? input?.order
    if (!ordered || key === undefined || order === undefined) continue
    const before = last.get(key) ?? -Infinity
    if (order < before) add('nonmonotonic-poll', `${name}: number ${order} of ${key} after ${before}`)
    last.set(key, order)
  }
  for (const id of inputs.keys()) if (!ids.has(id)) add('lost-write', `${name}: ${id}`)
  return repeats
}

function checkPosition(name: string, effect: SeenEffect, positions: Map<string, SeenEffect>, add: Add): void {
  const { partition = 0, position } = effect
  if (position === undefined) return
  const at = `${partition}/${position}`
  const before = positions.get(at)
  if (before && (before.id !== effect.id || !isSame(before.value, effect.value)))
    add('inconsistent-offset', `${name}: ${at} holds ${shown(before)} and ${shown(effect)}`)
  positions.set(at, effect)
  // Positions of a broker that are not numbers have no order that anybody but its adapter knows.
  if (typeof position === 'string') return
  const highest = `highest of ${partition}`
  const top = positions.get(highest)
  if (top && (top.position as number | bigint) > position)
    add('nonmonotonic-poll', `${name}: ${at} after ${String(top.position)}`)
  else positions.set(highest, effect)
}

function checkTogether(names: readonly string[], seen: ReadonlyMap<string, Set<Identity>>, add: Add): void {
  const all = names.map(name => {
    const ids = seen.get(name)
    if (!ids) throw new Error(`'together' names '${name}', which is none of the places`)
    return ids
  })
  for (const id of new Set(all.flatMap(ids => [...ids]))) {
    const there = names.filter((_, index) => all[index]!.has(id))
    if (there.length < names.length) add('torn-commit', `${id} is in ${there.join(', ')} alone`)
  }
}

function checkState(found: ReadonlyMap<string, unknown>, expected: ReadonlyMap<string, unknown>, add: Add): void {
  for (const [key, value] of expected)
    if (!isSame(found.get(key), value))
      add('wrong-state', `${key} has ${shown(found.get(key))}, should have ${shown(value)}`)
  for (const key of found.keys()) if (!expected.has(key)) add('wrong-state', `nothing was sent for ${key}`)
}

function shown(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) => (typeof each === 'bigint' ? `${each}` : each)) ?? 'nothing'
}

/** Whatever made it: the rows of a database have no prototype. */
function isSame(left: unknown, right: unknown): boolean {
  return isDeepStrictEqual(structuredClone(left), structuredClone(right))
}
