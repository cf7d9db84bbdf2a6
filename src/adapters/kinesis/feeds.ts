import type { Connection } from './connection.ts'
import type { FeedStart, Subscriber } from './cursor.ts'
import type { FanOut } from './fan-out.ts'
import { Sorter } from './shard-batch.ts'
import { ShardFeed } from './shard-feed.ts'
import type { Shard } from './shards.ts'

/** A reader's part in the feed of a shard. */
export interface Subscription {
  /** There is room again. */
  roomy(): void
  leave(): void
}

/** The shards that are read at the moment, each once. */
export class Feeds {
  readonly #connection: Connection
  readonly #pollInterval: number
  readonly #fanOut: FanOut | undefined
  readonly #feeds = new Map<string, ShardFeed>()
  readonly #sorters = new Map<number, Sorter>()
  readonly #closing = new Set<Promise<void>>()

  constructor(connection: Connection, pollInterval: number, fanOut: FanOut | undefined) {
    this.#fanOut = fanOut
    this.#connection = connection
    this.#pollInterval = pollInterval
  }

  join(stream: string, partitions: number, shard: Shard, subscriber: Subscriber, start: FeedStart): Subscription {
    // A stream that was made anew may have another count.
    const name = `${stream} ${shard.id} ${partitions}`
    let feed = this.#feeds.get(name)
    if (!feed) {
      const connection = this.#connection
      feed = new ShardFeed({
        connection,
        stream,
        shard,
        sorter: this.#sorter(partitions),
        pollInterval: this.#pollInterval,
        fanOut: this.#fanOut
      })
      this.#feeds.set(name, feed)
    }
    const joined = feed
    joined.join(subscriber, start)
    return {
      roomy: () => joined.roomy(),
      leave: () => {
        joined.leave(subscriber)
        if (!joined.isIdle || this.#feeds.get(name) !== joined) return
        this.#feeds.delete(name)
        const closing = joined.close().finally(() => this.#closing.delete(closing))
        this.#closing.add(closing)
      }
    }
  }

  async close(): Promise<void> {
    const open = [...this.#feeds.values()].map(feed => feed.close())
    this.#feeds.clear()
    await Promise.all([...open, ...this.#closing])
  }

  #sorter(partitions: number): Sorter {
    let sorter = this.#sorters.get(partitions)
    if (!sorter) this.#sorters.set(partitions, (sorter = new Sorter(partitions)))
    return sorter
  }
}
