import { decodePart, eventTimeOf, prepareBatch, type BoundTopic } from '../../broker/index.ts'
import { StreamError } from '../../core/errors.ts'
import type { Position, RawRecord } from '../../core/record.ts'
import type { Skip } from '../../exactly-once/index.ts'
import type { StartAt } from '../../spec/index.ts'
import { stampOf } from '../input.ts'
import type { ReplayOptions, SkipRange } from './options.ts'
import { readPartition } from './read-topic.ts'
import type { Start } from './replay-task.ts'

/**
 * Where one input begins again; `undefined`: where it stands. What the broker finds for itself at any time is left to it; the rest is
 * found out now, so that a restart finds the same.
 *
 * @param position last processed
 */
export async function startOf(
  bound: BoundTopic,
  partition: number,
  { from, signal }: ReplayOptions,
  position: Position | undefined
): Promise<Start | undefined> {
  if (from === undefined) return undefined
  if (from === 'earliest') return { at: from }
  if (from === 'latest') {
    const behind = position === undefined ? 'earliest' : { after: position }
    const last = (await lastBefore(bound, partition, behind, () => false, signal)) ?? position
    return { at: last === undefined ? 'earliest' : { after: last } }
  }
  if ('time' in from) return { at: { time: from.time } }
  if ('watermark' in from) {
    const { watermark } = from
    const last = await lastBefore(bound, partition, 'earliest', time => time >= watermark, signal)
    return { at: last === undefined ? 'earliest' : { after: last }, watermark }
  }
  const place = from.after.find(each => each.topic === bound.topic.name && each.partition === partition)
  if (!place) return undefined
  const at = { after: place.position }
  // What is no position, or is gone, is told here, and not by the next run.
  const records = readPartition(bound, partition, at, signal)
  await records.next().finally(() => records.return(undefined))
  return { at }
}

/** Position of the last record before the first one that `stops`, by event time; `undefined` when there is none. */
async function lastBefore(
  bound: BoundTopic,
  partition: number,
  from: StartAt,
  stops: (eventTime: number) => boolean,
  signal: AbortSignal | undefined
): Promise<Position | undefined> {
  let last: Position | undefined
  for await (const records of readPartition(bound, partition, from, signal)) {
    await prepareBatch(bound, records)
    for (const raw of records) {
      if (stops(timeOf(bound, raw))) return last
      last = raw.position
    }
  }
  return last
}

/** As a task sees it; of what does not decode, when the broker got it. */
function timeOf(bound: BoundTopic, raw: RawRecord): number {
  const stamp = stampOf(raw)
  if (stamp) return stamp.eventTime
  if (!bound.topic.eventTime) return raw.timestamp
  try {
    const key = decodePart(bound, 'key', raw.key, raw.headers)
    return eventTimeOf(bound, key, decodePart(bound, 'value', raw.value, raw.headers), raw)
  } catch {
    return raw.timestamp
  }
}

/** What is left out of one partition. Throws `bad-config` for a range that has no records. */
export function skipsOf({ topic, adapter }: BoundTopic, partition: number, ranges: readonly SkipRange[]): Skip[] {
  return ranges.flatMap((range): Skip[] => {
    const isEmpty =
      'since' in range ? !(range.since < range.until) : adapter.comparePositions(range.first, range.last) > 0
    if (isEmpty)
      throw new StreamError('bad-config', `replay: the range ${JSON.stringify(range)} to skip ends before it begins`)
    if ((range.topic ?? topic.name) !== topic.name || (range.partition ?? partition) !== partition) return []
    return 'since' in range ? [{ since: range.since, until: range.until }] : [{ first: range.first, last: range.last }]
  })
}
