import type { MemoryBroker } from '../../src/adapters/memory/index.ts'
import type { RawRecord } from '../../src/core/record.ts'
import { decodeStamp, type Stamp } from '../../src/core/stamp.ts'
import type { Problems } from './problems.ts'

export interface Read {
  readonly partition: number
  readonly raw: RawRecord
  readonly stamp: Stamp | undefined
}

/** Everything that a topic holds, as it lies there. */
export function written(broker: MemoryBroker, topic: string): Read[] {
  return (broker.findTopic(topic)?.partitions ?? []).flatMap((log, partition) => {
    const found: Read[] = []
    while (log.start + found.length < log.end)
      for (const raw of log.slice(log.start + found.length, Infinity, true).records)
        found.push({ partition, raw, stamp: raw.stamp && decodeStamp(raw.stamp) })
    return found
  })
}

export const identity = ({ partition, stamp }: Read): string =>
  `${Buffer.from(stamp!.producer, 'latin1').toString('hex')}/${partition}/${stamp!.sequence}`

export const sameBytes = (left: Uint8Array | null | undefined, right: Uint8Array | null | undefined): boolean =>
  left && right ? Buffer.compare(left, right) === 0 : (left ?? null) === (right ?? null)

/** A topic as a reader with this library has it: repeats dropped. A repeat must be the same to the byte (P5). */
export function received(broker: MemoryBroker, topic: string, problems: Problems, onceForAll: boolean): Read[] {
  const known = new Map<string, Read>()
  for (const read of written(broker, topic)) {
    if (!read.stamp) continue
    const id = identity(read)
    const before = known.get(id)
    if (before) {
      if (!sameBytes(before.raw.value, read.raw.value) || !sameBytes(before.raw.stamp, read.raw.stamp))
        problems.add('aborted-read', `${topic} has two different records as ${id}: ${text(before)} and ${text(read)}`)
      if (onceForAll) problems.add('duplicate', `${topic} has ${id} twice: ${text(read)}`)
      continue
    }
    known.set(id, read)
  }
  return [...known.values()]
}

export const text = ({ raw }: Read): string => (raw.value ? Buffer.from(raw.value).toString() : 'null')
