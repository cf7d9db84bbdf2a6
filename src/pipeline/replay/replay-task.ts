import type { BoundTopic } from '../../broker/index.ts'
import type { Position } from '../../core/record.ts'
import type { ProducerId } from '../../core/stamp.ts'
import type { Head, Skip } from '../../exactly-once/index.ts'
import type { StartAt } from '../../spec/index.ts'
import { behind, isReader, type RowPlace, type StateRow, type StoredState } from '../../state/index.ts'
import { noCounts, type TallySnapshot, type TrackerSnapshot } from '../../watermark/index.ts'
import type { Committed } from '../committer.ts'
import { OutputBuffer, type Sequences } from '../outputs.ts'
import { placeOf, retrySlot } from '../retry-queue.ts'
import { quietSpanOf } from './quiet-span.ts'

/** Where an input begins; `undefined`: where it stands. */
export interface Start {
  readonly at: Exclude<StartAt, 'latest'>
  /** What is earlier is late. */
  readonly watermark?: number
}

/** What a replay makes of one input of a task. */
export interface InputChange {
  readonly bound: BoundTopic
  readonly start: Start | undefined
  readonly skips: readonly Skip[]
}

const rowsAtOnce = 2_000

/**
 * A task between two of its runs: its last commit is followed by one that has other positions. In that one commit is all of it, so
 * that the task is either as it was or as it is to be. Sequences go on: what comes of it are new records to every reader.
 */
export class ReplayTask implements Committed {
  outputs!: OutputBuffer
  /** Of the last commit; `undefined`: there is none. */
  head: Head | undefined
  readonly #producer: ProducerId
  readonly #reset: boolean
  readonly #isQuiet: boolean
  readonly #rows: StateRow[] = []
  #changes: readonly InputChange[] = []

  /** @param isQuiet what had been written is not to be written again */
  constructor(producer: ProducerId, reset: boolean, isQuiet: boolean) {
    this.#producer = producer
    this.#reset = reset
    this.#isQuiet = isQuiet
  }

  /** Before the commit. */
  change(changes: readonly InputChange[]): void {
    this.#changes = changes
  }

  positionOf(topic: string): Position | undefined {
    return this.head?.positions[topic]
  }

  // ---- Committed ---------------------------------------------------------------------------------------------------

  async restore(state: StoredState): Promise<void> {
    const take = (rows: Iterable<StateRow>): void => {
      for (const row of rows)
        // Of the others, nothing but their places is needed.
        if (row.slot === retrySlot) this.#rows.push(row)
        else if (this.#reset) this.#rows.push({ slot: row.slot, key: row.key, value: null })
    }
    if (!isReader(state)) return take(state)
    for (let from: RowPlace | undefined = { slot: '', key: '' }; from;) {
      const page = await state.page(from, rowsAtOnce)
      take(page)
      from = page.length === rowsAtOnce ? behind(page.at(-1)!) : undefined
    }
  }

  recover(head: Head | undefined): OutputBuffer {
    this.head = head
    return (this.outputs = new OutputBuffer(this.#producer, [], head?.sequences as Sequences | undefined))
  }

  snapshot(): ReturnType<Committed['snapshot']> {
    return { head: this.#nextHead(), state: this.gone(), positions: [] }
  }

  applied(): void {}

  /** Rows that are deleted with the commit. */
  gone(): readonly StateRow[] {
    return this.#rows
      .filter(row => row.slot !== retrySlot || this.#comesAgain(row))
      .map(row => ({ ...row, value: null }))
  }

  /** A record that waits for another attempt, and that is read again: once is enough. */
  #comesAgain(row: StateRow): boolean {
    const { topic, position, timestamp } = placeOf(row)
    const change = this.#changes.find(({ bound }) => bound.topic.name === topic)
    if (!change?.start) return false
    const { at } = change.start
    if (at === 'earliest') return true
    if ('time' in at) return timestamp >= at.time
    return change.bound.adapter.comparePositions(position, at.after) > 0
  }

  #nextHead(): Head {
    const { head } = this
    const positions: Record<string, Position> = { ...head?.positions }
    const starts: Record<string, StartAt> = { ...head?.starts }
    const skips: Record<string, readonly Skip[]> = { ...head?.skips }
    const trackers: Record<string, unknown> = { ...head?.trackers }
    const read: Record<string, unknown> = { ...head?.tallies?.read }
    for (const { bound, start, skips: left } of this.#changes) {
      const { name } = bound.topic
      if (left.length > 0) skips[name] = left
      else if (start) delete skips[name]
      if (!start) continue
      delete starts[name]
      delete positions[name]
      if (typeof start.at === 'object' && 'after' in start.at) positions[name] = start.at.after
      else starts[name] = start.at
      // What was processed is no repeat any more, and time begins anew.
      delete trackers[name]
      delete read[name]
      if (start.watermark !== undefined)
        trackers[name] = { watermark: start.watermark, producers: {} } satisfies TrackerSnapshot
    }
    const { intervals, quiet, ...rest } = head ?? { sequences: {}, watermark: null, counts: { ...noCounts } }
    return {
      ...rest,
      ...(quiet && this.#changes.every(({ start }) => !start) && { quiet }),
      ...(head && this.#isQuiet && { quiet: quietSpanOf(head, this.#changes, this.#rows) }),
      positions,
      trackers,
      starts,
      skips,
      tallies: { read: read as Record<string, TallySnapshot>, sent: head?.tallies?.sent ?? {} },
      ...(intervals && !this.#reset && { intervals })
    }
  }
}
