import { isDeepStrictEqual } from 'node:util'
import { decodeRecord, type BoundTopic } from '../../broker/index.ts'
import { StreamError } from '../../core/errors.ts'
import { sizeOf, type RawRecord, type StreamRecord } from '../../core/record.ts'
import type { ProducerId } from '../../core/stamp.ts'
import type { AnyTopic } from '../../core/topic.ts'
import { ProducerProgress } from '../../watermark/index.ts'
import { stampOf } from '../input.ts'
import { resolveTopic, type TopicResolver } from '../topics.ts'
import { align, type Pair } from './align.ts'
import { readPartition } from './read-topic.ts'

export interface CompareOptions {
  /** `all` (default): all records of a key, in their order. `last`: the last of each key, as of a table. */
  readonly records?: 'all' | 'last'
  /** Are two values the same? Default: deep equality of what the codecs give. */
  readonly isSame?: (left: any, right: any) => boolean
  /** Called with each difference. */
  readonly onDifference?: (difference: Difference) => void
  /** Most bytes of records that are held because they have no counterpart yet. Default 256 MiB. */
  readonly maxBytes?: number
  readonly signal?: AbortSignal
}

/** `missing`: on the left only. `extra`: on the right only. `different`: both have it, with other values. */
export interface Difference {
  readonly kind: 'missing' | 'extra' | 'different'
  readonly partition: number
  readonly key: unknown
  readonly left: StreamRecord | undefined
  readonly right: StreamRecord | undefined
}

export interface Comparison {
  /** Records that were read, repeats left out. */
  readonly left: number
  readonly right: number
  /** Records (with `last`: keys) that are the same on both. */
  readonly same: number
  readonly missing: number
  readonly extra: number
  readonly different: number
}

/**
 * Compares two topics by key, from their beginnings to what is there now: with `shadow`, what the new version of a pipeline writes
 * with what the old one wrote. What a relay has sent twice counts once. Errors: `bad-config` (other partition counts), `unsupported`
 * (a queue), `too-large` (too much without a counterpart).
 */
export async function compare(
  host: TopicResolver,
  left: AnyTopic,
  right: AnyTopic,
  options: CompareOptions = {}
): Promise<Comparison> {
  const sides = { left: await resolveTopic(host, left), right: await resolveTopic(host, right) }
  if (sides.left.partitions !== sides.right.partitions)
    throw new StreamError(
      'bad-config',
      `topic '${left.name}' has ${sides.left.partitions} partitions, and '${right.name}' ${sides.right.partitions}: keys would be in other partitions, give them the same count`
    )
  const run = new Comparing(sides, options)
  for (let partition = 0; partition < sides.left.partitions; partition++) await run.partition(partition)
  return run.found
}

const mostBytes = 256 * 1024 * 1024

type Side = 'left' | 'right'

interface Held {
  readonly record: StreamRecord
  readonly bytes: number
}

/** What is known of one key of a partition. */
interface Key {
  readonly left: Held[]
  readonly right: Held[]
  /** Something was not the same: from there on all of it is kept, to be aligned at the end. */
  parted: boolean
}

class Comparing {
  found: { -readonly [Name in keyof Comparison]: number } = {
    left: 0,
    right: 0,
    same: 0,
    missing: 0,
    extra: 0,
    different: 0
  }
  readonly #sides: Readonly<Record<Side, BoundTopic>>
  readonly #options: CompareOptions
  readonly #isSame: (left: Held, right: Held) => boolean
  readonly #keys = new Map<string, Key>()
  #bytes = 0

  constructor(sides: Readonly<Record<Side, BoundTopic>>, options: CompareOptions) {
    this.#sides = sides
    this.#options = options
    const { isSame = isDeepStrictEqual } = options
    this.#isSame = (left, right) => isSame(left.record.value, right.record.value)
  }

  /** Both sides in turn, so that what is the same is soon let go. */
  async partition(partition: number): Promise<void> {
    const { signal } = this.#options
    const feeds = (['left', 'right'] as const).map(side => {
      const records = readPartition(this.#sides[side], partition, 'earliest', signal)
      return { side, records, isNew: once() }
    })
    try {
      for (let open = [...feeds]; open.length > 0;)
        for (const feed of open) {
          const { value, done } = await feed.records.next()
          if (done) open = open.filter(each => each !== feed)
          else for (const raw of value) if (feed.isNew(raw)) this.#take(feed.side, partition, raw)
        }
    } finally {
      for (const { records } of feeds) await records.return()
    }
    for (const key of this.#keys.values()) for (const pair of this.#pairsOf(key)) this.#tell(partition, pair)
    this.#keys.clear()
    this.#bytes = 0
  }

  #take(side: Side, partition: number, raw: RawRecord): void {
    const bound = this.#sides[side]
    const record = decodeRecord(bound, { topic: bound.topic.name, partition }, raw)
    this.found[side]++
    const held: Held = { record, bytes: sizeOf(raw) }
    const id = raw.key === null ? '-' : `k${Buffer.from(raw.key).toString('latin1')}`
    let key = this.#keys.get(id)
    if (!key) this.#keys.set(id, (key = { left: [], right: [], parted: false }))
    this.#bytes += held.bytes
    if (this.#options.records === 'last') this.#bytes -= key[side].splice(0, 1, held)[0]?.bytes ?? 0
    else {
      key[side].push(held)
      this.#settle(id, key)
    }
    if (this.#bytes > (this.#options.maxBytes ?? mostBytes)) throw this.#tooLarge(partition)
  }

  /** What has its counterpart is done. */
  #settle(id: string, key: Key): void {
    const { left, right } = key
    while (!key.parted && left.length > 0 && right.length > 0) {
      key.parted = !this.#isSame(left[0]!, right[0]!)
      if (key.parted) return
      this.found.same++
      this.#bytes -= left.shift()!.bytes + right.shift()!.bytes
    }
    if (left.length === 0 && right.length === 0) this.#keys.delete(id)
  }

  #tooLarge(partition: number): StreamError {
    const { left, right } = this.#sides
    return new StreamError(
      'too-large',
      `partition ${partition} of '${left.topic.name}' and '${right.topic.name}': more than ${this.#bytes} bytes of records have no counterpart; compare with \`records: 'last'\`, or raise \`maxBytes\``
    )
  }

  #pairsOf({ left, right }: Key): Iterable<Pair<Held>> {
    if (this.#options.records !== 'last') return align(left, right, this.#isSame)
    // Of a table, what was deleted is not there.
    const [one, other] = [left, right].map(([held]) => (held?.record.value === null ? undefined : held))
    return one || other ? [{ left: one, right: other }] : []
  }

  #tell(partition: number, { left, right }: Pair<Held>): void {
    const kind = left === undefined ? 'extra' : right === undefined ? 'missing' : 'different'
    if (kind === 'different' && this.#isSame(left!, right!)) {
      this.found.same++
      return
    }
    this.found[kind]++
    const { key } = (left ?? right)!.record
    this.#options.onDifference?.({ kind, partition, key, left: left?.record, right: right?.record })
  }
}

/** Is a record new? A relay may have written it before. */
function once(): (raw: RawRecord) => boolean {
  const producers = new Map<ProducerId, ProducerProgress>()
  return raw => {
    const stamp = stampOf(raw)
    if (stamp === undefined || stamp.sequence === 0) return true
    let progress = producers.get(stamp.producer)
    if (!progress) producers.set(stamp.producer, (progress = new ProducerProgress()))
    if (progress.has(stamp.sequence)) return false
    progress.processed(stamp.sequence, undefined)
    return true
  }
}
