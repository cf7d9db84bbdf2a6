import { view } from '../../core/codec.ts'
import { readAggregate } from './aggregate-reader.ts'
import type { KinesisRecord } from './client.ts'
import { hashOf, partitionOfHash } from './hash-keys.ts'
import { compareSequences, type ShardPlace } from './positions.ts'
import { type Content, contentOf, plainContent } from './records.ts'
import type { Shard } from './shards.ts'
import { StampReader } from './stamps.ts'

/** One record for a reader, where it stands and when it came (ms since the epoch). */
export interface ShardRecord extends ShardPlace {
  readonly content: Content
  readonly arrived: number
}

/** Of many keys the partition is remembered; beyond that they are hashed again. */
const mostKeys = 20_000

/** Which partition the records of a stream belong to. */
export class Sorter {
  readonly #partitions: number
  readonly #byHashKey = new Map<string, bigint>()
  readonly #byKey = new Map<string, bigint>()

  constructor(partitions: number) {
    this.#partitions = partitions
  }

  /**
   * The partition of a record of an aggregate; `undefined` when it does not belong into this shard: its producer did not know
   * of a split yet, and sends it again.
   */
  ofAggregated(key: string, hashKey: string | undefined, shard: Shard): number | undefined {
    const hash = hashKey === undefined ? this.#hash(key) : this.#number(hashKey)
    return hash < shard.start || hash > shard.end ? undefined : this.#within(hash, shard)
  }

  /**
   * The partition of any other record. A hash key that its producer chose is not to be seen from here: such a record, in a shard
   * where its partition key does not lead, counts as one of the middle of the shard.
   */
  ofPlain(key: string, shard: Shard): number {
    const hash = this.#hash(key)
    const leadsHere = hash >= shard.start && hash <= shard.end
    return this.#within(leadsHere ? hash : (shard.start + shard.end) / 2n, shard)
  }

  #within(hash: bigint, { first, last }: Shard): number {
    return Math.min(last, Math.max(first, partitionOfHash(hash, this.#partitions)))
  }

  #number(hashKey: string): bigint {
    let hash = this.#byHashKey.get(hashKey)
    if (hash === undefined)
      remember(this.#byHashKey, hashKey, (hash = /^\d{1,39}$/.test(hashKey) ? BigInt(hashKey) : -1n))
    return hash
  }

  #hash(key: string): bigint {
    let hash = this.#byKey.get(key)
    if (hash === undefined) remember(this.#byKey, key, (hash = hashOf(key)))
    return hash
  }
}

function remember(known: Map<string, bigint>, key: string, hash: bigint): void {
  if (known.size >= mostKeys) known.clear()
  known.set(key, hash)
}

/** What one look at a shard gave. */
export class ShardBatch {
  readonly shard: Shard
  /** Ms that its last record is behind the newest of the shard; 0 at the end. */
  readonly behind: number
  /** When the question was asked, monotonic ms. */
  readonly asked: number
  readonly #records: readonly KinesisRecord[]
  readonly #sorter: Sorter
  #byPartition: Map<number, ShardRecord[]> | undefined

  constructor(shard: Shard, records: readonly KinesisRecord[], sorter: Sorter, behind: number, asked: number) {
    this.shard = shard
    this.#records = records
    this.#sorter = sorter
    this.behind = behind
    this.asked = asked
  }

  /** The records of one partition, in order. `wanted` are all that will be asked for. */
  of(partition: number, wanted: ReadonlySet<number>): readonly ShardRecord[] {
    this.#byPartition ??= this.#sort(wanted)
    return this.#byPartition.get(partition) ?? []
  }

  /** The first sequence number that is not before this one. */
  firstFrom(sequence: string): string | undefined {
    return this.#records.find(record => compareSequences(record.SequenceNumber, sequence) >= 0)?.SequenceNumber
  }

  #sort(wanted: ReadonlySet<number>): Map<number, ShardRecord[]> {
    const sorted = new Map<number, ShardRecord[]>()
    const add = (partition: number, record: ShardRecord): void => {
      const known = sorted.get(partition)
      if (known) known.push(record)
      else sorted.set(partition, [record])
    }
    for (const { SequenceNumber: sequence, PartitionKey: key, Data, ApproximateArrivalTimestamp } of this.#records) {
      const data = view(Data)
      const arrived = ApproximateArrivalTimestamp?.getTime() ?? 0
      const aggregated = readAggregate(data)
      if (!aggregated) {
        const partition = this.#sorter.ofPlain(key, this.shard)
        if (wanted.has(partition)) add(partition, { sequence, sub: 0, arrived, content: plainContent(key, data) })
        continue
      }
      // A stamp may go on from the one before it.
      const stamps = new Map<number, StampReader>()
      for (const [sub, record] of aggregated.entries()) {
        const partition = this.#sorter.ofAggregated(record.key, record.hashKey, this.shard)
        if (partition === undefined || !wanted.has(partition)) continue
        let reader = stamps.get(partition)
        if (!reader) stamps.set(partition, (reader = new StampReader()))
        add(partition, { sequence, sub, arrived, content: contentOf(record, reader) })
      }
    }
    return sorted
  }
}
