import type { Environment } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'
import { noHeaders, sizeOf, type Headers, type Position, type RawRecord } from '../core/record.ts'
import type { StateRow } from '../state/index.ts'
import { fromSnapshot, toSnapshot, type TimeSnapshot } from '../watermark/index.ts'

/** The slot under which records that wait are stored with the state: the commit that moves past one holds it. */
export const retrySlot = '~retries'

/** Most records that wait at one task, and most bytes of them (law 8): beyond that the task waits, too. */
const mostRecords = 1_000
const mostBytes = 8 * 1024 * 1024
/** A larger record is tried again in its place: not every store takes rows of any size. */
const mostOfOne = 128 * 1024

/** A record that is not done and that the task has gone past. */
export interface Waiting {
  /** In the order in which they were put aside. */
  readonly id: number
  readonly topic: string
  /** What it keeps its order with: the bytes of its key. */
  readonly lane: string
  readonly raw: RawRecord
  /** Watermark of the task, and of its partition, before it: nothing goes beyond the first until it is done. */
  readonly hold: number
  readonly reached: number
  /** Position of its input before it; not stored. */
  readonly before: Position | undefined
  /** Attempts so far; 0: it waits behind another one. */
  attempts: number
  /** When it failed first, ms since the epoch. */
  since: number
  /** When it is tried again, monotonic ms. */
  dueAt: number
}

type UnderWay = (waiting: Waiting) => boolean

const nextOf = (lane: readonly Waiting[], underWay: UnderWay | undefined): Waiting | undefined =>
  underWay ? lane.find(waiting => !underWay(waiting)) : lane[0]

/**
 * The records of a task that wait for another attempt, and those of their keys behind them. Part of the commit, so that a
 * restart forgets none; bounded. Knows nothing of handlers.
 */
export class RetryQueue {
  bytes: number = 0
  readonly #environment: Environment
  readonly #all = new Map<number, Waiting>()
  /** Each in its order. */
  readonly #lanes = new Map<string, Waiting[]>()
  readonly #changed = new Set<number>()
  #next = 1

  constructor(environment: Environment) {
    this.#environment = environment
  }

  get size(): number {
    return this.#all.size
  }

  get full(): boolean {
    return this.#all.size >= mostRecords || this.bytes >= mostBytes
  }

  /** Takes it this record? */
  takes(raw: RawRecord): boolean {
    return !this.full && sizeOf(raw) <= mostOfOne
  }

  has(lane: string): boolean {
    return this.#lanes.has(lane)
  }

  /** The one that was put aside first: what it holds, everything holds. */
  get oldest(): Waiting | undefined {
    return this.#all.size === 0 ? undefined : this.#all.values().next().value
  }

  /** The first of a topic. */
  oldestOf(topic: string): Waiting | undefined {
    for (const waiting of this.#all.values()) if (waiting.topic === topic) return waiting
    return undefined
  }

  /** Since when something fails, ms since the epoch. */
  get failingSince(): number | undefined {
    let since: number | undefined
    for (const { attempts, since: at } of this.#all.values()) if (attempts > 0 && at < (since ?? Infinity)) since = at
    return since
  }

  add(waiting: Omit<Waiting, 'id'>): Waiting {
    const added = { ...waiting, id: this.#next++ }
    this.#insert(added)
    this.#changed.add(added.id)
    return added
  }

  /** It has failed once more. */
  again(waiting: Waiting, dueAt: number): void {
    waiting.attempts++
    waiting.dueAt = dueAt
    this.#changed.add(waiting.id)
  }

  /** It is done, or parked; the next of its key is due. */
  remove(waiting: Waiting): void {
    const lane = this.#lanes.get(waiting.lane)!
    lane.splice(lane.indexOf(waiting), 1)
    if (lane.length === 0) this.#lanes.delete(waiting.lane)
    this.#all.delete(waiting.id)
    this.bytes -= sizeOf(waiting.raw)
    this.#changed.add(waiting.id)
  }

  /** One that may be tried now. @param underWay those that are being tried: who is behind one may follow it */
  due(now: number, underWay?: UnderWay): Waiting | undefined {
    for (const lane of this.#lanes.values()) {
      const next = nextOf(lane, underWay)
      if (next && next.dueAt <= now) return next
    }
    return undefined
  }

  /** The first of each key that may be tried now. */
  heads(now: number): Waiting[] {
    if (this.#all.size === 0) return []
    return [...this.#lanes.values()].flatMap(([first]) => (first!.dueAt <= now ? [first!] : []))
  }

  /**
   * When the next one is due, monotonic ms.
   *
   * @param alone nobody follows one that is under way
   */
  nextAt(underWay?: UnderWay, alone?: boolean): number {
    let at = Infinity
    for (const lane of this.#lanes.values()) {
      if (alone && underWay?.(lane[0]!)) continue
      at = Math.min(at, nextOf(lane, underWay)?.dueAt ?? Infinity)
    }
    return at
  }

  // ---- the commit --------------------------------------------------------------------------------------------------

  /** Takes its own rows out of those of a task, of which more may follow. */
  *taking(rows: Iterable<StateRow>): Generator<StateRow, void, undefined> {
    const mine: Waiting[] = []
    for (const row of rows)
      if (row.slot !== retrySlot) yield row
      else if (row.value !== null) mine.push(this.#decode(row))
    if (mine.length > 0) this.#restore(mine)
  }

  /** What the next commit has to write. */
  changes(): StateRow[] {
    return Array.from(this.#changed, id => {
      const waiting = this.#all.get(id)
      return { slot: retrySlot, key: keyOf(id), value: waiting ? this.#encode(waiting) : null }
    })
  }

  committed(): void {
    this.#changed.clear()
  }

  #restore(more: readonly Waiting[]): void {
    const all = [...this.#all.values(), ...more].sort((left, right) => left.id - right.id)
    this.#all.clear()
    this.#lanes.clear()
    this.bytes = 0
    for (const waiting of all) this.#insert(waiting)
    this.#next = all.at(-1)!.id + 1
  }

  #insert(waiting: Waiting): void {
    this.#all.set(waiting.id, waiting)
    this.bytes += sizeOf(waiting.raw)
    const lane = this.#lanes.get(waiting.lane)
    if (lane) lane.push(waiting)
    else this.#lanes.set(waiting.lane, [waiting])
  }

  #encode({ topic, raw, hold, reached, attempts, since, dueAt }: Waiting): Uint8Array {
    const left = Math.max(0, dueAt - this.#environment.monotonic())
    const stored: Stored = {
      v: 1,
      topic,
      position: raw.position,
      key: toText(raw.key),
      value: toText(raw.value),
      headers: Object.fromEntries(Object.entries(raw.headers).map(([name, value]) => [name, toText(value)!])),
      stamp: raw.stamp ? toText(raw.stamp) : null,
      timestamp: raw.timestamp,
      ...(raw.identity !== undefined && { identity: raw.identity }),
      hold: toSnapshot(hold),
      reached: toSnapshot(reached),
      attempts,
      since,
      due: Math.round(this.#environment.now() + left),
      left: Math.ceil(left)
    }
    return Buffer.from(JSON.stringify(stored))
  }

  #decode({ key, value }: StateRow): Waiting {
    const stored = JSON.parse(Buffer.from(value!).toString('utf8')) as Stored
    if (stored.v !== 1)
      throw new StreamError(
        'corrupt',
        `a record that waits for another attempt has version ${String(stored.v)}, this release reads 1`
      )
    const { topic, attempts, since } = stored
    const raw: RawRecord = {
      position: stored.position,
      key: toBytes(stored.key),
      value: toBytes(stored.value),
      headers: headersOf(stored.headers),
      stamp: toBytes(stored.stamp) ?? undefined,
      timestamp: stored.timestamp,
      ...(stored.identity !== undefined && { identity: stored.identity })
    }
    const environment = this.#environment
    // The clock of the one who wrote it may be minutes behind or ahead of ours: it may only make the wait shorter.
    const left = Math.min(Math.max(0, stored.due - environment.now()), stored.left ?? longest)
    return {
      id: Number(key),
      topic,
      lane: laneOf(raw),
      raw,
      hold: fromSnapshot(stored.hold),
      reached: fromSnapshot(stored.reached),
      before: undefined,
      attempts,
      since,
      dueAt: environment.monotonic() + left
    }
  }
}

/** Of what a release has written that did not say how long it still had to wait, ms. */
const longest = 3_600_000

/** Records of one lane keep their order; those without a key are one. */
export function laneOf({ key }: Pick<RawRecord, 'key'>): string {
  return key === null ? '-' : `k${Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')}`
}

interface Stored {
  readonly v: number
  readonly topic: string
  readonly position: Position
  readonly key: string | null
  readonly value: string | null
  readonly headers: Readonly<Record<string, string>>
  readonly stamp: string | null
  readonly timestamp: number
  readonly identity?: string
  readonly hold: TimeSnapshot
  readonly reached: TimeSnapshot
  readonly attempts: number
  readonly since: number
  /** When it is tried again, by the clock of the one who wrote it, ms since the epoch. */
  readonly due: number
  /** How long that was away when it was written, ms. */
  readonly left?: number
}

const keyOf = (id: number): string => String(id).padStart(12, '0')

const toText = (bytes: Uint8Array | null): string | null =>
  bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')

const toBytes = (text: string | null): Uint8Array | null => (text === null ? null : Buffer.from(text, 'base64'))

function headersOf(stored: Stored['headers']): Headers {
  const entries = Object.entries(stored)
  if (entries.length === 0) return noHeaders
  return Object.fromEntries(entries.map(([name, value]) => [name, toBytes(value)!]))
}

/** Where the record of a stored row was. */
export function placeOf({ value }: StateRow): Pick<Stored, 'topic' | 'position' | 'timestamp'> {
  return JSON.parse(Buffer.from(value!).toString('utf8')) as Stored
}
