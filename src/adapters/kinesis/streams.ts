import type { ListedShard } from './client.ts'
import type { Connection } from './connection.ts'
import { classify, noPartitionCount, unknownStream } from './errors.ts'
import { type Shard, shardOf } from './shards.ts'

/** The tag that holds the partition count of a topic: written once, when the stream is made. */
export const partitionsTag = 'tidemark:partitions'

/** A stream may be made anew with another partition count: asked again after this, ms. */
const lifetime = 60_000

interface KnownCount {
  readonly count: Promise<number | undefined>
  /** Monotonic ms. */
  asked: number
}

export interface StreamSummary {
  readonly arn: string
  /** `ACTIVE`, `CREATING`, `UPDATING`, `DELETING`. */
  readonly status: string
  /** How long records are kept, ms. */
  readonly retention: number
}

/** What is known of streams: partition counts are remembered, shards are asked for anew. */
export class Streams {
  readonly connection: Connection
  readonly #given: Readonly<Record<string, number>>
  readonly #counts = new Map<string, KnownCount>()
  readonly #listing = new Map<string, Promise<readonly Shard[]>>()

  /** @param given partition counts of streams without a tag */
  constructor(connection: Connection, given: Readonly<Record<string, number>>) {
    this.connection = connection
    this.#given = given
  }

  /** `undefined` when there is none. */
  async summary(stream: string): Promise<StreamSummary | undefined> {
    try {
      const answer = await this.connection.request('DescribeStreamSummary', { StreamName: stream })
      const { StreamARN: arn, StreamStatus: status, RetentionPeriodHours: hours } = answer.StreamDescriptionSummary
      return { arn, status, retention: Number(hours) * 3_600_000 }
    } catch (error) {
      if (classify(error).code !== 'unknown-topic') throw error
      this.forget(stream)
      return undefined
    }
  }

  /** The partition count by tag or by option, `undefined` for a stream without. Rejects with `unknown-topic`. */
  count(stream: string): Promise<number | undefined> {
    const { environment } = this.connection
    const known = this.#counts.get(stream)
    if (known) {
      if (environment.monotonic() - known.asked > lifetime) void this.#renew(stream, known)
      return known.count
    }
    const asking: KnownCount = { count: this.#askCount(stream), asked: environment.monotonic() }
    this.#counts.set(stream, asking)
    const forget = (): void => this.#forget(stream, asking)
    // A stream without may yet get one.
    asking.count.then(count => count === undefined && forget(), forget)
    return asking.count
  }

  /** Rejects with `bad-config` for a stream without a partition count. */
  async partitions(stream: string): Promise<number> {
    const count = await this.count(stream)
    if (count === undefined) throw noPartitionCount(stream)
    return count
  }

  /** All shards that are listed, closed ones too; asked for once by callers at the same time. */
  shards(stream: string): Promise<readonly Shard[]> {
    const running = this.#listing.get(stream)
    if (running) return running
    const listing = this.#list(stream).finally(() => this.#listing.delete(stream))
    this.#listing.set(stream, listing)
    return listing
  }

  /** It may be another stream of this name by now. */
  forget(stream: string): void {
    this.#counts.delete(stream)
  }

  /** What is known is good meanwhile, and for as long as there is no answer. */
  async #renew(stream: string, known: KnownCount): Promise<void> {
    known.asked = this.connection.environment.monotonic()
    try {
      if ((await this.#askCount(stream)) !== (await known.count)) this.#forget(stream, known)
    } catch {
      // A stream that is gone was forgotten on the way; anything else may pass.
    }
  }

  #forget(stream: string, known: KnownCount): void {
    if (this.#counts.get(stream) === known) this.#counts.delete(stream)
  }

  async #askCount(stream: string): Promise<number | undefined> {
    const given = Object.hasOwn(this.#given, stream) ? this.#given[stream] : undefined
    if (given !== undefined) return given
    let after: string | undefined
    for (;;) {
      const input = { StreamName: stream, ...(after !== undefined && { ExclusiveStartTagKey: after }) }
      const answer = await this.connection
        .request('ListTagsForStream', input)
        .catch((error: unknown) => this.#rethrow(stream, error))
      const tags = answer.Tags as readonly { readonly Key: string; readonly Value?: string }[]
      const found = tags.find(({ Key }) => Key === partitionsTag)?.Value
      if (found !== undefined && /^[1-9]\d{0,5}$/.test(found)) return Number(found)
      after = tags.at(-1)?.Key
      if (!answer.HasMoreTags || after === undefined) return undefined
    }
  }

  async #list(stream: string): Promise<readonly Shard[]> {
    const partitions = await this.partitions(stream)
    const shards: Shard[] = []
    for (let token: string | undefined; ;) {
      const answer = await this.connection
        .request('ListShards', token === undefined ? { StreamName: stream } : { NextToken: token })
        .catch((error: unknown) => this.#rethrow(stream, error))
      for (const shard of answer.Shards as readonly ListedShard[]) shards.push(shardOf(shard, partitions))
      token = answer.NextToken ?? undefined
      if (token === undefined) return shards
    }
  }

  #rethrow(stream: string, error: unknown): never {
    if (classify(error).code !== 'unknown-topic') throw error
    this.forget(stream)
    throw unknownStream(stream, error)
  }
}
