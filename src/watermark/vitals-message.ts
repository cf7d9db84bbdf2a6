import { StreamError } from '../core/errors.ts'
import { encodeVitals, vitalsOf, type Vitals } from './vitals.ts'

/** A report that somebody else passes on. */
export interface HeardVitals {
  readonly vitals: Vitals
  /** How long ago it was heard, ms; 0 when its producer says it itself. */
  readonly age: number
}

/**
 * What goes over the vitals topic of a queue. There is no past to read there: who comes asks, and those who know answer. One
 * message carries many reports, because a queue is paid by the message and keeps the order of few.
 */
export type VitalsMessage =
  | { readonly kind: 'reports'; readonly reports: readonly HeardVitals[]; readonly repeated: boolean }
  /** Somebody new asks for what he has missed. */
  | { readonly kind: 'question'; readonly by: string }

const version = 1

/** Most reports of a message: some 300 bytes each. */
const mostReports = 1000

/** As many messages as the reports need. */
export function encodeReports(reports: readonly Vitals[]): Buffer[] {
  return chunks(reports).map(part =>
    Buffer.from(`{"v":${version},"reports":[${part.map(report => encodeVitals(report).toString()).join()}]}`)
  )
}

/** The reports of others, passed on. */
export function encodeRepeated(heard: readonly HeardVitals[]): Buffer[] {
  return chunks(heard).map(part => {
    const reports = part.map(({ vitals }) => encodeVitals(vitals).toString()).join()
    const ages = part.map(({ age }) => Math.ceil(age)).join()
    return Buffer.from(`{"v":${version},"repeated":true,"ages":[${ages}],"reports":[${reports}]}`)
  })
}

export function encodeQuestion(by: string): Buffer {
  return Buffer.from(JSON.stringify({ v: version, question: by }))
}

/** Of bytes that several readers of this process are given: the broker in memory has them once. */
const decoded = new WeakMap<Uint8Array, VitalsMessage>()

/** Also a single report, as it goes over a log. Throws `corrupt` when it is nothing that this release reads. */
export function decodeVitalsMessage(bytes: Uint8Array): VitalsMessage {
  let message = decoded.get(bytes)
  if (!message) decoded.set(bytes, (message = decode(bytes)))
  return message
}

function decode(bytes: Uint8Array): VitalsMessage {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  let raw: { v?: unknown; question?: unknown; reports?: unknown; repeated?: unknown; ages?: unknown } | null
  try {
    raw = JSON.parse(text)
  } catch (error) {
    throw new StreamError('corrupt', 'a record of the vitals topic is not JSON', { cause: error })
  }
  if (raw?.v === version && typeof raw.question === 'string') return { kind: 'question', by: raw.question }
  if (raw?.v !== version || !Array.isArray(raw.reports))
    return { kind: 'reports', repeated: false, reports: [{ vitals: vitalsOf(raw), age: 0 }] }
  const ages: readonly unknown[] = Array.isArray(raw.ages) ? raw.ages : []
  const repeated = raw.repeated === true
  const reports = raw.reports.map((report, index) => {
    const age = ages[index]
    return {
      vitals: vitalsOf(report),
      age: repeated && typeof age === 'number' && age > 0 ? age : 0
    }
  })
  return { kind: 'reports', repeated, reports }
}

function chunks<Item>(items: readonly Item[]): (readonly Item[])[] {
  const parts: (readonly Item[])[] = []
  for (let start = 0; start < items.length; start += mostReports) parts.push(items.slice(start, start + mostReports))
  return parts
}
