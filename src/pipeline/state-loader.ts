import type { Environment } from '../core/environment.ts'
import { Turns } from '../core/turns.ts'
import {
  behind,
  behindSlot,
  formOf,
  isReader,
  slotOf,
  stateKey,
  type RowPlace,
  type RowReader,
  type StateRow,
  type StoredState,
  type TaskRows,
  type TaskState
} from '../state/index.ts'
import type { Stage } from './definitions.ts'
import type { InputBatch } from './input.ts'
import { prepareRows } from './state-codecs.ts'

/** Rows that are read, or looked for, before others get a turn: a few milliseconds. */
const rowsAtOnce = 1_000
/** Records of a batch whose keys are fetched at once, where not all of the state is in memory. */
const recordsAtOnce = 2_000
/** Between two looks for what is gone among the rows that are not in memory, ms. */
const sweepEvery = 100

export interface LoaderParts {
  readonly stage: Stage
  readonly rows: TaskRows
  readonly environment: Environment
  /** Bytes that the state of this task may hold in memory. */
  readonly limit: number
  /** Takes rows of recovery. */
  take(rows: Iterable<StateRow>): void
}

/**
 * Brings the state of one task into memory: all of it in recovery, as long as there is room; the rest, where the store can be asked
 * for single keys, before the record or timer that needs it (`docs/decisions/0010`).
 */
export class StateLoader {
  readonly #parts: LoaderParts
  #reader: RowReader | undefined
  #sweeping: RowPlace | undefined
  #sweptAt = -Infinity

  constructor(parts: LoaderParts) {
    this.#parts = parts
  }

  /** Must nothing be fetched? */
  get complete(): boolean {
    return this.#parts.rows.state.complete
  }

  /** In the order of the store, a page at a time, with turns for others between: heartbeats go on. */
  async restore(stored: StoredState): Promise<void> {
    const { stage, environment, rows, limit } = this.#parts
    if (!isReader(stored)) {
      for (const page of pagesOf(stored)) {
        await this.#take(page)
        await Turns.of(environment).next()
      }
      return
    }
    this.#reader = stored
    rows.state.limit = limit
    const isState = (name: string): boolean => stage.kind === 'processor' && Object.hasOwn(stage.state, name)
    for (let from: RowPlace | undefined = { slot: '', key: '' }; from;) {
      const page = await this.#page(from)
      await this.#take(page)
      from = nextOf(page, rowsAtOnce, rows.state, isState)
      await Turns.of(environment).next()
    }
  }

  /** What a task must wait for before it processes records of these keys; `undefined`: nothing. */
  fetch(keys: Iterable<Uint8Array | null>): Promise<void> | undefined {
    return this.complete ? undefined : this.#fetch([...keys].flatMap(key => stateKey(key) ?? []))
  }

  /** Before the first timer that is due at `watermark` is fired: its key, and those of some behind it. */
  fetchDue(watermark: number): Promise<void> | undefined {
    const { state, timers } = this.#parts.rows
    if (this.complete) return undefined
    const first = timers.due(watermark)
    if (!first || state.missing([first.key]).length === 0) return undefined
    return this.#fetch([first.key, ...timers.dueKeys(watermark, recordsAtOnce)])
  }

  /** Marks some of what is gone for deletion, among rows that are not in memory. */
  async sweep(watermark: number): Promise<void> {
    const { environment, rows } = this.#parts
    const { unswept } = rows.state
    if (unswept.length === 0 || environment.monotonic() - this.#sweptAt < sweepEvery) return
    this.#sweptAt = environment.monotonic()
    const slots = unswept.map(name => slotOf(name, 'timed'))
    const from = this.#sweeping ?? { slot: slots[0]!, key: '' }
    const page = await this.#page(from)
    rows.state.sweepRows(
      page.filter(({ slot }) => slot === from.slot),
      watermark
    )
    const last = page.at(-1)
    if (last?.slot === from.slot && page.length === rowsAtOnce) this.#sweeping = behind(last)
    else this.#sweeping = { slot: slots[(slots.indexOf(from.slot) + 1) % slots.length]!, key: '' }
  }

  #fetch(keys: readonly string[]): Promise<void> | undefined {
    const places = this.#parts.rows.state.missing(keys)
    return places.length > 0 ? this.#find(places) : undefined
  }

  async #find(places: readonly RowPlace[]): Promise<void> {
    const { stage, rows, environment } = this.#parts
    for (let at = 0; at < places.length; at += rowsAtOnce) {
      const some = places.slice(at, at + rowsAtOnce)
      const found = await this.#reader!.find(some)
      const preparing = prepareRows(stage, found)
      if (preparing) await preparing
      rows.state.fetched(some, found)
      if (at + rowsAtOnce < places.length) await Turns.of(environment).next()
    }
  }

  #page(from: RowPlace): Promise<readonly StateRow[]> {
    return this.#reader!.page(from, rowsAtOnce)
  }

  async #take(page: readonly StateRow[]): Promise<void> {
    const preparing = prepareRows(this.#parts.stage, page)
    if (preparing) await preparing
    this.#parts.take(page)
  }
}

/**
 * Where recovery goes on: behind a page; when memory is used up, behind the rest of its state.
 *
 * @param most rows that the page could have had
 */
export function nextOf(
  page: readonly RowPlace[],
  most: number,
  state: Pick<TaskState, 'full' | 'cutShort'>,
  isState: (name: string) => boolean
): RowPlace | undefined {
  const last = page.at(-1)
  if (!last || page.length < most) return undefined
  if (!isState(formOf(last.slot)[0]) || !state.full) return behind(last)
  state.cutShort(last.slot)
  return behindSlot(last.slot)
}

/** The first records of a batch, as many as keys are fetched for at once, and the rest. */
export function cutBatch(batch: InputBatch): readonly [first: InputBatch, rest: InputBatch | undefined] {
  const { records, stamps } = batch
  if (records.length <= recordsAtOnce) return [batch, undefined]
  const part = (from: number, to?: number): InputBatch => ({
    records: records.slice(from, to),
    stamps: stamps.slice(from, to)
  })
  return [part(0, recordsAtOnce), part(recordsAtOnce)]
}

export function joinBatches(first: InputBatch | undefined, rest: InputBatch | undefined): InputBatch | undefined {
  if (!first || !rest) return first ?? rest
  return { records: [...first.records, ...rest.records], stamps: [...first.stamps, ...rest.stamps] }
}

function* pagesOf(rows: Iterable<StateRow>): Generator<readonly StateRow[]> {
  let page: StateRow[] = []
  for (const row of rows) {
    if (page.push(row) < rowsAtOnce) continue
    yield page
    page = []
  }
  if (page.length > 0) yield page
}
