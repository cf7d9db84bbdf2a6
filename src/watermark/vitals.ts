import { StreamError } from '../core/errors.ts'
import type { ProducerId } from '../core/stamp.ts'
import { decodeHealth } from './decode-health.ts'
import type { Health } from './health.ts'
import { fromSnapshot, toSnapshot } from './producer-progress.ts'
import { decodeTally, type TallySnapshot } from './tally.ts'

/** The topic that carries the vitals of all producers of a broker: one partition, compacted by producer. */
export const vitalsTopic = 'tidemark.vitals'

/**
 * `closing`: a task has come to the end of its inputs, for good. `left`: this producer says no more, others may: a plain
 * producer that was closed, one life of a task whose identity is of that life only.
 */
export type VitalsState = 'joining' | 'active' | 'idle' | 'closing' | 'left'
const states: readonly string[] = ['joining', 'active', 'idle', 'closing', 'left']

/** What a producer promises for one topic. */
export interface OutputVitals {
  /** Beyond `last`, nothing before this. `Infinity`: nothing at all any more. */
  readonly watermark: number
  /** Partition -> last sequence written. */
  readonly last: ReadonlyMap<number, number>
  /** How many records it has written, by spans of event time. Absent where nobody counts. */
  readonly sent?: TallySnapshot
}

/** What a task says of one topic that it reads. */
export interface InputVitals {
  readonly partition: number
  /** What became of the records, by spans of event time: `fates`. Each counts once, as the last of these that is true. */
  readonly read: TallySnapshot
}

/** The columns of a tally of what was read. */
export const fates: readonly ['processed', 'late', 'expired', 'parked'] = ['processed', 'late', 'expired', 'parked']

/** The counts since the task was first started: sent = processed + parked + late + … is checked from these. */
export interface Counts {
  readonly processed: number
  readonly emitted: number
  readonly parked: number
  readonly late: number
  /** Of the late ones: those that came too late for the handler to use. */
  readonly expired: number
  readonly duplicates: number
  readonly lost: number
}

/** The periodic report of one producer: a task, or a process with a plain producer. */
export interface Vitals {
  readonly producer: ProducerId
  /** `pipeline/stage/partition`, or the name of a plain producer. */
  readonly task: string
  /** Tasks live as long as their pipeline; a plain producer may crash and never come back. */
  readonly durable: boolean
  readonly state: VitalsState
  /** Watermark of the inputs, `Infinity` when they ended; `-Infinity` when nothing is known. */
  readonly watermark: number
  readonly outputs: ReadonlyMap<string, OutputVitals>
  /** Topic -> what became of its records here. Absent for who reads nothing, and in reports of older releases. */
  readonly inputs?: ReadonlyMap<string, InputVitals>
  readonly counts: Counts
  /** The commit of the task that this is as of; 0 before the first. A report of an earlier one comes from a former owner. */
  readonly commit: number
  /** Counts up by one with each report of this process. */
  readonly beat: number
  /** Absent in reports of releases that did not say it. */
  readonly health?: Health
}

export const noCounts: Counts = { processed: 0, emitted: 0, parked: 0, late: 0, expired: 0, duplicates: 0, lost: 0 }

/** Of two reports of a task. The announcement of a task that is known already says that it goes on, and nothing of how far it was. */
export function newest(known: Vitals | undefined, vitals: Vitals): Vitals {
  if (known?.producer !== vitals.producer) return vitals
  if (vitals.state === 'joining') return { ...known, state: 'joining' }
  return vitals.commit < known.commit ? known : vitals
}

const version = 1

/** JSON, UTF-8, documented in `docs/vitals.md`. Readers ignore fields they do not know. */
export function encodeVitals(vitals: Vitals): Buffer {
  const outputs: Record<string, unknown> = {}
  for (const [topic, { watermark, last, sent }] of vitals.outputs)
    outputs[topic] = { watermark: toSnapshot(watermark), last: Object.fromEntries(last), sent }
  return Buffer.from(
    JSON.stringify({
      v: version,
      producer: Buffer.from(vitals.producer, 'latin1').toString('hex'),
      task: vitals.task,
      durable: vitals.durable,
      state: vitals.state,
      watermark: toSnapshot(vitals.watermark),
      outputs,
      inputs: vitals.inputs && Object.fromEntries(vitals.inputs),
      counts: vitals.counts,
      commit: vitals.commit,
      beat: vitals.beat,
      health: vitals.health
    })
  )
}

/** Throws `corrupt` when it is not a report of a version that this release reads. */
export function decodeVitals(bytes: Uint8Array): Vitals {
  try {
    return read(JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')))
  } catch (error) {
    throw notVitals(error)
  }
}

/** As `decodeVitals`, of what its JSON has been parsed to. */
export function vitalsOf(raw: unknown): Vitals {
  try {
    return read(raw)
  } catch (error) {
    throw notVitals(error)
  }
}

function notVitals(cause: unknown): StreamError {
  return new StreamError('corrupt', 'a record of the vitals topic is not a vitals report of version 1', { cause })
}

function read(raw: any): Vitals {
  if (raw.v !== version || !/^[0-9a-f]{32}$/.test(raw.producer)) throw new Error(`version ${String(raw.v)}`)
  if (!states.includes(raw.state)) throw new Error(`state ${String(raw.state)}`)
  const outputs = new Map<string, OutputVitals>()
  for (const [topic, output] of Object.entries<any>(raw.outputs ?? {})) {
    const last = new Map<number, number>()
    for (const [partition, sequence] of Object.entries(output.last ?? {}))
      last.set(whole(Number(partition)), whole(sequence))
    const sent = tally(output.sent, 1)
    outputs.set(topic, { watermark: time(output.watermark), last, ...(sent && { sent }) })
  }
  const inputs = raw.inputs && inputsOf(raw.inputs)
  const health = decodeHealth(raw.health)
  return {
    producer: Buffer.from(raw.producer, 'hex').toString('latin1'),
    task: String(raw.task),
    durable: raw.durable === true,
    state: raw.state,
    watermark: time(raw.watermark),
    outputs,
    ...(inputs && { inputs }),
    counts: { ...noCounts, ...raw.counts },
    commit: whole(raw.commit ?? 0),
    beat: whole(raw.beat),
    ...(health && { health })
  }
}

function inputsOf(raw: object): Map<string, InputVitals> {
  const inputs = new Map<string, InputVitals>()
  for (const [topic, input] of Object.entries<any>(raw)) {
    const read = tally(input?.read, fates.length)
    if (read && Number.isSafeInteger(input.partition)) inputs.set(topic, { partition: input.partition, read })
  }
  return inputs
}

/** Watermarks do not depend on it: what is none is left out. */
function tally(raw: unknown, columns: number): TallySnapshot | undefined {
  try {
    return decodeTally(raw, columns)
  } catch {
    return undefined
  }
}

function time(value: unknown): number {
  if (value === null || value === undefined || value === 'end' || typeof value === 'number')
    return fromSnapshot(value ?? null)
  throw new Error(`time ${String(value)}`)
}

function whole(value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number
  throw new Error(`number ${String(value)}`)
}
