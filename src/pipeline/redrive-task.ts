import { parkedHeaders, redriveHeaders, type BoundTopic } from '../broker/index.ts'
import type { Headers, RawRecord } from '../core/record.ts'
import type { ProducerId } from '../core/stamp.ts'
import type { Head } from '../exactly-once/index.ts'
import { behind, isReader, type RowPlace, type StateRow, type StoredState } from '../state/index.ts'
import type { TallySnapshot } from '../watermark/index.ts'
import type { Committed } from './committer.ts'
import { OutputBuffer, type Sequences } from './outputs.ts'
import { describeParked, identityOf } from './parked-records.ts'

const slot = '~redriven'
const present = new Uint8Array(0)
const rowsAtOnce = 2_000

/**
 * What was sent again of one partition of a parked topic: one commit holds the records and the marks that they were sent, so
 * that a run which is repeated, wherever it broke off, sends none twice.
 */
export class RedriveTask implements Committed {
  outputs!: OutputBuffer
  readonly #bound: BoundTopic
  readonly #producer: ProducerId
  readonly #run: string
  readonly #everybody: boolean
  /** What was sent again, by identity. */
  readonly #sent = new Set<string>()
  readonly #changes = new Map<string, boolean>()
  readonly #seen = new Set<string>()

  /** @param bound the topic that they go back to */
  constructor(bound: BoundTopic, producer: ProducerId, run: string, everybody: boolean) {
    this.#bound = bound
    this.#producer = producer
    this.#run = run
    this.#everybody = everybody
  }

  /** Must it not be sent? Called for each record that is there. */
  has(raw: RawRecord): boolean {
    const identity = identityOf(raw)
    this.#seen.add(identity)
    return this.#sent.has(identity) || textOf(raw.headers, redriveHeaders.run) === this.#run
  }

  /** As it came first, to its partition. */
  send(raw: RawRecord, partition: number): void {
    const identity = identityOf(raw)
    this.#sent.add(identity)
    this.#changes.set(identity, true)
    const { by, redriven, key, value, eventTime } = describeParked(raw, partition)
    const topic = this.#bound.topic.name
    const headers = headersFor(raw.headers, redriven + 1, this.#everybody ? undefined : by, this.#run)
    this.outputs.forward({ topic, partition, key, value, headers, stamp: undefined, timestamp: eventTime }, eventTime)
  }

  /** Records that are not on the topic any more need no mark. Once all of it was read. */
  forgetGone(): void {
    for (const identity of this.#sent) {
      if (this.#seen.has(identity)) continue
      this.#sent.delete(identity)
      this.#changes.set(identity, false)
    }
  }

  get dirty(): boolean {
    return this.#changes.size > 0
  }

  // ---- Committed ---------------------------------------------------------------------------------------------------

  async restore(state: StoredState): Promise<void> {
    const take = (rows: Iterable<StateRow>): void => {
      for (const row of rows) if (row.slot === slot && row.value !== null) this.#sent.add(row.key)
    }
    if (!isReader(state)) return take(state)
    for (let from: RowPlace | undefined = { slot, key: '' }; from;) {
      const page = await state.page(from, rowsAtOnce)
      take(page)
      from = page.length === rowsAtOnce ? behind(page.at(-1)!) : undefined
    }
  }

  recover(head: Head | undefined): OutputBuffer {
    const sent = head?.tallies?.sent as Record<string, TallySnapshot> | undefined
    return (this.outputs = new OutputBuffer(
      this.#producer,
      [this.#bound],
      head?.sequences as Sequences | undefined,
      sent
    ))
  }

  snapshot(): ReturnType<Committed['snapshot']> {
    const { outputs } = this
    const head: Head = {
      positions: {},
      trackers: {},
      sequences: outputs.sequences(),
      watermark: 'end',
      counts: {},
      tallies: { read: {}, sent: outputs.tallies() }
    }
    const state = Array.from(this.#changes, ([key, set]) => ({ slot, key, value: set ? present : null }))
    return { head, state, positions: [] }
  }

  applied(): void {
    this.#changes.clear()
  }
}

/** Those of the record itself, and to whom it goes. */
function headersFor(parked: Headers, redriven: number, by: string | undefined, run: string): Headers {
  const own: readonly string[] = Object.values(parkedHeaders)
  const headers: Record<string, Uint8Array> = {}
  for (const [name, value] of Object.entries(parked)) if (!own.includes(name)) headers[name] = value
  headers[parkedHeaders.redriven] = Buffer.from(String(redriven))
  headers[redriveHeaders.run] = Buffer.from(run)
  delete headers[redriveHeaders.addressee]
  // A task is `pipeline/stage/partition`: what it gave up is for any task of the stage. A group has no slashes.
  if (by) headers[redriveHeaders.addressee] = Buffer.from(by.replace(/^([^/]+\/[^/]+)\/\d+$/, '$1'))
  return headers
}

function textOf(headers: Headers, name: string): string | undefined {
  const bytes = headers[name]
  return bytes && Buffer.from(bytes).toString('utf8')
}
