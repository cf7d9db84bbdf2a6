import type { Head } from '../../src/exactly-once/index.ts'
import type { Evidence } from './evidence.ts'
import type { Committed } from './journal.ts'
import type { Problems } from './problems.ts'
import { identity, sameBytes, text, type Read } from './topic-log.ts'

type Time = number | 'end' | null
type Trackers = Readonly<Record<string, { readonly watermark: Time }>>

const time = (value: Time): number => (value === 'end' ? Infinity : (value ?? -Infinity))
/** Characters of JSON that the tracker of one partition may take: a bound on what disorder and producers can do (P7). */
const mostTracked = 20_000

/** Each task is one history: numbers dense, and nothing of it ever goes back. */
export function checkHistories({ commits, problems }: Evidence, positionsCount: boolean): void {
  const last = new Map<string, Committed>()
  for (const commit of commits) {
    const before = last.get(commit.task)
    last.set(commit.task, commit)
    const name = `commit ${commit.number} of ${commit.task}`
    if (commit.number !== (before?.number ?? 0) + 1)
      problems.add('torn-commit', `${name} follows ${before?.number ?? 0}`)
    if (!before) continue
    if (commit.epoch < before.epoch)
      problems.add('torn-commit', `${name} has epoch ${commit.epoch} after ${before.epoch}`)
    checkStep(name, before.head, commit.head, positionsCount, problems)
  }
}

function checkStep(name: string, before: Head, head: Head, positionsCount: boolean, problems: Problems): void {
  if (time(head.watermark) < time(before.watermark))
    problems.add('nonmonotonic-watermark', `${name}: ${before.watermark} -> ${head.watermark}`)
  for (const [topic, tracker] of Object.entries(head.trackers as Trackers)) {
    const earlier = (before.trackers as Trackers)[topic]
    if (earlier && time(tracker.watermark) < time(earlier.watermark))
      problems.add('nonmonotonic-watermark', `${name}: input ${topic} ${earlier.watermark} -> ${tracker.watermark}`)
    const size = JSON.stringify(tracker).length
    if (size > mostTracked)
      problems.add('unbounded', `${name}: the tracker of ${topic} has grown to ${size} characters`)
  }
  if (positionsCount)
    for (const [topic, position] of Object.entries(head.positions))
      if (Number(position) < Number(before.positions[topic] ?? -1))
        problems.add('inconsistent-offset', `${name}: ${topic} from ${before.positions[topic]} back to ${position}`)
  for (const [topic, lanes] of Object.entries(before.sequences))
    for (const [partition, sequence] of Object.entries(lanes))
      if ((head.sequences[topic]?.[partition] ?? 0) < sequence)
        problems.add('torn-commit', `${name}: sequence of ${topic}/${partition} goes back from ${sequence}`)
}

/** A topic holds what was committed, and nothing else, to the byte; identities are dense; every promise is kept. */
export function checkOutputs(evidence: Evidence, topics: readonly string[]): void {
  const { problems } = evidence
  for (const topic of topics) {
    const committed = new Map<string, Read>()
    for (const read of evidence.committed(topic)) {
      const id = identity(read)
      const twin = committed.get(id)
      if (twin) problems.add('duplicate', `${topic}: ${id} was given to ${text(twin)} and to ${text(read)}`)
      committed.set(id, read)
    }
    for (const read of evidence.readable(topic)) {
      const origin = committed.get(identity(read))
      if (!origin)
        problems.add('aborted-read', `${topic} has ${text(read)} as ${identity(read)}, which was never committed`)
      else if (!sameBytes(read.raw.value, origin.raw.value) || !sameBytes(read.raw.stamp, origin.raw.stamp))
        problems.add('aborted-read', `${topic} has ${text(read)} as ${identity(read)}, committed was ${text(origin)}`)
    }
    checkLanes(topic, [...committed.values()], problems)
  }
}

/** Per producer and partition: dense from 1; behind a promise every record is at or after it, or says that it is late. */
function checkLanes(topic: string, reads: readonly Read[], problems: Problems): void {
  const lanes = new Map<string, Read[]>()
  for (const read of reads) {
    const lane = `${read.stamp!.producer}/${read.partition}`
    const list = lanes.get(lane)
    if (list) list.push(read)
    else lanes.set(lane, [read])
  }
  for (const lane of lanes.values()) {
    lane.sort((left, right) => left.stamp!.sequence - right.stamp!.sequence)
    let promise = -Infinity
    lane.forEach((read, index) => {
      const { sequence, eventTime, watermark, late } = read.stamp!
      if (sequence !== index + 1) problems.add('torn-commit', `${topic}: ${identity(read)} is number ${index + 1}`)
      if (eventTime < promise && !late)
        problems.add('broken-promise', `${topic} ${identity(read)}: ${eventTime} after the promise of ${promise}`)
      promise = Math.max(promise, watermark ?? -Infinity)
    })
  }
}
