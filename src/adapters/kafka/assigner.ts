import type { TopicPartition } from '../../spec/log-reader.ts'
import { Reader, Writer } from './wire.ts'

/**
 * Who gets which partitions, decided by the member that Kafka made the leader of the group. Partition i of all topics goes to
 * one member; members keep what they have as far as the shares stay even; and what changes hands is given to nobody first,
 * until its holder has let go of it and joins again (as in KIP-429). So a rebalance stops no partition that stays.
 */

/** Name of the assignment protocol: members of a group must share one. */
export const assignerName = 'tidemark-cooperative'

export interface Subscription {
  readonly topics: readonly string[]
  /** What the member holds now, from the given generation. */
  readonly held: readonly TopicPartition[]
  readonly generation: number
}

export interface Member extends Subscription {
  readonly id: string
}

/** Kafka's ConsumerProtocolSubscription, version 2: the tools of the broker can read it. */
export function encodeSubscription({ topics, held, generation }: Subscription): Buffer {
  const writer = new Writer()
  writer.int16(2).array(topics, topic => writer.string(topic))
  writer.int32(-1) // no user data
  writePartitions(writer, held)
  return writer.int32(generation).bytes
}

export function decodeSubscription(bytes: Uint8Array): Subscription {
  const reader = new Reader(bytes)
  const version = reader.int16()
  const topics = reader.array(() => reader.string() ?? '')
  reader.block()
  const held = version >= 1 ? readPartitions(reader) : []
  return { topics, held, generation: version >= 2 ? reader.int32() : -1 }
}

/** Kafka's ConsumerProtocolAssignment. */
export function encodeAssignment(partitions: readonly TopicPartition[]): Buffer {
  const writer = new Writer()
  writer.int16(0)
  writePartitions(writer, partitions)
  return writer.int32(-1).bytes
}

export function decodeAssignment(bytes: Uint8Array): TopicPartition[] {
  if (bytes.byteLength === 0) return []
  const reader = new Reader(bytes)
  reader.int16()
  return readPartitions(reader)
}

/**
 * The partitions of each member. `partitionCount` is 0 for a topic that does not exist. A partition that moves is missing
 * from the result until its holder has released it.
 */
export function assign(
  members: readonly Member[],
  partitionCount: (topic: string) => number
): Map<string, TopicPartition[]> {
  const topics = [...new Set(members.flatMap(member => member.topics))]
  const places = Math.max(0, ...topics.map(partitionCount))
  const holders = holdersOf(members)
  const targets = share(members, places, holders)
  const result = new Map<string, TopicPartition[]>(members.map(({ id }) => [id, []]))
  for (let place = 0; place < places; place++) {
    const target = targets[place]!
    const holder = holders.get(place)
    if (holder !== undefined && holder !== target.id) continue
    for (const topic of target.topics)
      if (place < partitionCount(topic)) result.get(target.id)!.push({ topic, partition: place })
  }
  return result
}

/** Of two claims on a partition the one from the newer generation holds: the other member was away. */
function holdersOf(members: readonly Member[]): Map<number, string> {
  const claims = new Map<number, Member>()
  for (const member of members)
    for (const { partition } of member.held) {
      const other = claims.get(partition)
      if (!other || other.generation < member.generation) claims.set(partition, member)
    }
  return new Map(Array.from(claims, ([partition, { id }]) => [partition, id]))
}

/** The member of each place: even shares, as little moved as possible, the same whoever computes it. */
function share(members: readonly Member[], places: number, holders: ReadonlyMap<number, string>): Member[] {
  const held = new Map<string, number[]>(members.map(({ id }) => [id, []]))
  for (let place = 0; place < places; place++) held.get(holders.get(place) ?? '')?.push(place)
  // Those who hold most get the larger shares.
  const ranked = members.toSorted(
    (left, right) => held.get(right.id)!.length - held.get(left.id)!.length || (left.id < right.id ? -1 : 1)
  )
  const targets: Member[] = new Array(places)
  const room: Member[] = []
  for (const [rank, member] of ranked.entries()) {
    const quota = Math.floor(places / members.length) + (rank < places % members.length ? 1 : 0)
    const kept = held.get(member.id)!.slice(0, quota)
    for (const place of kept) targets[place] = member
    for (let left = quota - kept.length; left > 0; left--) room.push(member)
  }
  for (let place = 0; place < places; place++) targets[place] ??= room.shift()!
  return targets
}

function writePartitions(writer: Writer, partitions: readonly TopicPartition[]): void {
  writer.array([...Map.groupBy(partitions, ({ topic }) => topic)], ([topic, list]) => {
    writer.string(topic).array(list, ({ partition }) => writer.int32(partition))
  })
}

function readPartitions(reader: Reader): TopicPartition[] {
  return reader
    .array(() => {
      const topic = reader.string() ?? ''
      return reader.array(() => ({ topic, partition: reader.int32() }))
    })
    .flat()
}
