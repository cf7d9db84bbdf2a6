/**
 * The changelog of one task, as a compacted log, and a standby that reads it beside its owner: what it hands to whoever takes the task over
 * must be what the log comes to. What is read goes through the `ChangelogRows` of the product. A deletion may leave the log `retention`
 * hours after compaction has first come by it; a commit is rows and a head, all at once.
 */
import type { RawRecord } from '../../src/core/record.ts'
import { ChangelogRows } from '../../src/exactly-once/stores/broker-rows.ts'

export interface Entry {
  readonly offset: number
  /** Of a row; `h` is the head. */
  readonly key: 'a' | 'b' | 'h'
  readonly value: string | null
  readonly previous?: string
  /** Of a head. */
  readonly number?: number
  /** Of a deletion that compaction has come by: the hour from which on it may go. */
  readonly horizon?: number
}

export interface Standby {
  /** All that it has read, in order. */
  readonly read: readonly Entry[]
  /** Next offset. */
  readonly next: number
  /** Of these, how many were read when it came to the end first; `undefined`: it has not. */
  readonly linkedAfter?: number
  /** Of these, how many were read when it began to read its last head again: its request had failed. */
  readonly againAfter?: number
  /** When it was at the end last, or began. */
  readonly since: number
}

export interface World {
  readonly log: readonly Entry[]
  readonly end: number
  readonly hour: number
  /** Commits so far, of all chains. */
  readonly commits: number
  readonly accidents: number
  readonly standby: Standby
  readonly failure?: string
  readonly taken?: boolean
}

export interface Rules {
  readonly commits: number
  readonly hours: number
  readonly accidents: number
  readonly retention: number
  /** Hours that it may not have been at the end. */
  readonly absence: number
  /** A head must name the one before it. */
  readonly links: boolean
  /** In take-over the last head must be met again. */
  readonly meetsLast: boolean
  /** Where the rest begins. */
  readonly from: 'anchor' | 'position'
  /** Where it goes on when a request fails before it was at the end: at the start; from then on: at its last head. */
  readonly firstReading: 'anew' | 'goes on'
  readonly halfCommit: 'again' | 'goes on'
  /** The rest is read behind the fence. */
  readonly fenceFirst: boolean
}

export const rules: Rules = {
  commits: 3,
  hours: 2,
  accidents: 1,
  retention: 2,
  absence: 1,
  links: true,
  meetsLast: true,
  from: 'anchor',
  firstReading: 'anew',
  halfCommit: 'again',
  fenceFirst: true
}

const task = 'p/s/0'
const nothingRead: Standby = { read: [], next: 0, since: 0 }
export const start: World = { log: [], end: 0, hour: 0, commits: 0, accidents: 0, standby: nothingRead }

type Successor = readonly [name: string, world: World]

export function successors(rules: Rules, world: World): readonly Successor[] {
  if (world.taken || world.failure) return []
  const found: Successor[] = []
  const add = (name: string, change: Partial<World>): void => void found.push([name, { ...world, ...change }])
  if (world.commits < rules.commits)
    for (const [what, rows] of changes) add(`the owner commits ${what}`, commit(world, rows))
  if (world.hour < rules.hours) add('an hour goes by', { hour: world.hour + 1 })
  const compact = compacted(rules, world)
  if (JSON.stringify(compact) !== JSON.stringify(world.log)) add('the log is compacted', { log: compact })
  if (world.accidents < rules.accidents && world.log.length > 0) {
    const after = { accidents: world.accidents + 1, standby: interrupted(rules, world) }
    add('the log is made anew', { log: [], end: 0, ...after })
    add('an election loses the last commit', { ...withoutLast(world), ...after })
  }
  look(rules, world, add)
  takeOver(rules, world, add)
  return found
}

/** What an accident does to a request between the pieces of a first reading, or of a commit: it fails. Else nobody asks just then. */
function interrupted(rules: Rules, { standby, hour }: World): Standby {
  const { read, linkedAfter } = standby
  if (linkedAfter === undefined) return rules.firstReading === 'anew' ? { ...nothingRead, since: hour } : standby
  const whole = read.findLastIndex(({ key }) => key === 'h') + 1
  if (whole === read.length || rules.halfCommit === 'goes on') return standby
  const { anchor } = rowsOf(rules, standby)
  const next = anchor === undefined ? 0 : Number(anchor) + 1
  return { ...standby, read: read.slice(0, whole), next, againAfter: whole }
}

const changes = [
  ['a', ['a']],
  ['a and b', ['a', 'b']],
  ['without a', []]
] as const

function heads(log: readonly Entry[]): readonly Entry[] {
  return log.filter(({ key }) => key === 'h')
}

/** By whoever owns it, which knows the last commit of the log. */
function commit(world: World, keys: readonly ('a' | 'b')[]): Partial<World> {
  const last = heads(world.log).at(-1)
  const token = `t${world.commits}`
  const rows: Omit<Entry, 'offset'>[] = keys.map(key => ({ key, value: token }))
  if (rows.length === 0) rows.push({ key: 'a', value: null })
  const head = { key: 'h' as const, value: token, number: (last?.number ?? 0) + 1 }
  rows.push(last ? { ...head, previous: last.value! } : head)
  const entries = rows.map((row, index) => ({ ...row, offset: world.end + index }))
  return { log: [...world.log, ...entries], end: world.end + rows.length, commits: world.commits + 1 }
}

/** Up to the last commit, which is in the segment that is written to. */
function compacted({ retention }: Rules, { log, hour }: World): readonly Entry[] {
  const clean = heads(log).at(-2)?.offset ?? -1
  const isLast = ({ offset, key }: Entry): boolean =>
    !log.some(other => other.offset > offset && other.offset <= clean && other.key === key)
  return log.flatMap(entry => {
    if (entry.offset > clean) return [entry]
    if (!isLast(entry) || hour >= (entry.horizon ?? Infinity)) return []
    return [entry.value === null ? { ...entry, horizon: entry.horizon ?? hour + retention } : entry]
  })
}

function withoutLast({ log }: World): Pick<World, 'log' | 'end'> {
  const before = heads(log).at(-2)?.offset ?? -1
  return { log: log.filter(({ offset }) => offset <= before), end: before + 1 }
}

/** One piece, or all that there is. A place behind the end is refused, and it begins anew; so does who was away, or is torn. */
function look(rules: Rules, world: World, add: (name: string, change: Partial<World>) => void): void {
  const { standby, log, hour } = world
  const anew = { ...nothingRead, since: hour }
  const isLost = standby.next > world.end || hour - standby.since > rules.absence || rowsOf(rules, standby).torn
  if (isLost) return add('the standby begins anew', { standby: anew })
  const rest = log.filter(({ offset }) => offset >= standby.next)
  for (const count of new Set([1, rest.length])) {
    const piece = rest.slice(0, count)
    const read = [...standby.read, ...piece]
    const isAtEnd = piece.length === rest.length
    const next = isAtEnd ? world.end : piece.at(-1)!.offset + 1
    const linked = standby.linkedAfter ?? (isAtEnd ? read.length : undefined)
    const now = {
      read,
      next,
      since: isAtEnd ? hour : standby.since,
      ...(standby.againAfter !== undefined && { againAfter: standby.againAfter }),
      ...(linked !== undefined && { linkedAfter: linked })
    }
    add(`the standby reads ${piece.length}`, { standby: now })
  }
}

function takeOver(rules: Rules, world: World, add: (name: string, change: Partial<World>) => void): void {
  const { standby, log } = world
  const rows = rowsOf(rules, standby)
  // Until it was at the end once, nothing ties what it has read to what comes.
  if (standby.linkedAfter === undefined || !rows.last || rows.torn || world.hour - standby.since > rules.absence) return
  rows.expectLast()
  const behind = rules.from === 'anchor' ? rows.anchor : rows.position
  const from = behind === undefined ? 0 : Number(behind) + 1
  // Refused: all is read.
  if (from > world.end) return
  for (const entry of log) if (entry.offset >= from) rows.apply(recordOf(entry))
  if (rules.links && rules.meetsLast ? !rows.confirmed : rules.links && rows.torn) return
  const seen = rules.fenceFirst ? world : { ...world, ...commit(world, ['b']) }
  const whole = new ChangelogRows(task)
  for (const entry of seen.log) whole.apply(recordOf(entry))
  const [mine, right] = [textOf(rows), textOf(whole)]
  const failure = mine === right ? undefined : `DIVERGED the standby gives ${mine}, the log comes to ${right}`
  add('the task is taken over', { taken: true, ...(failure && { failure }) })
}

function rowsOf(rules: Rules, { read, linkedAfter, againAfter }: Standby): ChangelogRows {
  const rows = new ChangelogRows(task, true)
  if (linkedAfter === 0 && rules.links) rows.expectLinks()
  for (const [index, entry] of read.entries()) {
    if (index === againAfter && rules.links) rows.expectLast()
    rows.apply(recordOf(entry))
    if (index + 1 === linkedAfter && rules.links) rows.expectLinks()
  }
  return rows
}

function recordOf({ offset, key, value, number, previous }: Entry): RawRecord {
  const headers = {
    ...(number !== undefined && { number: Buffer.from(String(number)), token: Buffer.from(value!) }),
    ...(previous !== undefined && { previous: Buffer.from(previous) })
  }
  return {
    position: String(offset),
    key: Buffer.from(key === 'h' ? `${task}\0h` : `${task}\0stotal\0${key}`),
    value: value === null ? null : Buffer.from(value),
    headers,
    stamp: undefined,
    timestamp: 0
  }
}

function textOf(rows: ChangelogRows): string {
  const all = [...rows.rows()].map(({ key, value }) => `${key}=${Buffer.from(value!).toString()}`)
  return [...all.sort(), `commit ${rows.last?.number} ${rows.last?.token}`].join(' ')
}
