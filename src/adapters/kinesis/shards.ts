import type { ListedShard } from './client.ts'
import { type HashRange, partitionsIn } from './hash-keys.ts'
import { type Frontier, type Progress, shardNumber } from './positions.ts'

export interface Shard extends HashRange {
  readonly id: string
  readonly number: number
  /** Numbers of the one or two that it came from, whether or not they are still listed. */
  readonly parents: readonly number[]
  readonly open: boolean
  /** The partitions, first and last, whose records it may hold. */
  readonly first: number
  readonly last: number
}

export function shardOf(listed: ListedShard, partitions: number): Shard {
  const { ShardId: id, HashKeyRange: range, ParentShardId, AdjacentParentShardId, SequenceNumberRange } = listed
  const hashes = { start: BigInt(range.StartingHashKey), end: BigInt(range.EndingHashKey) }
  const [first, last] = partitionsIn(hashes, partitions)
  const parents = [ParentShardId, AdjacentParentShardId].filter(parent => parent !== undefined && parent !== null)
  return {
    ...hashes,
    id,
    number: shardNumber(id),
    parents: parents.map(shardNumber),
    open: SequenceNumberRange.EndingSequenceNumber === undefined || SequenceNumberRange.EndingSequenceNumber === null,
    first,
    last
  }
}

/** The shards that may hold records of a partition, oldest first. */
export function shardsOf(partition: number, shards: readonly Shard[]): readonly Shard[] {
  return shards
    .filter(({ first, last }) => first <= partition && partition <= last)
    .sort((left, right) => left.number - right.number)
}

/** What came before these, as far back as it is listed. */
export function ancestorsOf(numbers: Iterable<number>, shards: readonly Shard[]): ReadonlySet<number> {
  const byNumber = new Map(shards.map(shard => [shard.number, shard]))
  const found = new Set<number>()
  const open = [...numbers]
  for (let number = open.pop(); number !== undefined; number = open.pop())
    for (const parent of byNumber.get(number)?.parents ?? [])
      if (!found.has(parent)) {
        found.add(parent)
        open.push(parent)
      }
  return found
}

/** Where to read next, and how far it is processed: `undefined` for nothing of it. */
export interface Beginning {
  readonly shard: Shard
  readonly progress: Progress | undefined
}

/**
 * The shards of a partition that can be read now: those of the frontier that are not finished, and those whose parents, as
 * far as this partition is concerned, are all finished. Parents come before children, so the order of a key is kept.
 *
 * @param frontier a shard in it has nothing of its ancestors left to read
 * @param finished shards that were read to their end
 */
export function readable(
  partition: number,
  shards: readonly Shard[],
  frontier: ReadonlyMap<number, Progress>,
  finished: ReadonlySet<number>
): readonly Beginning[] {
  const relevant = shardsOf(partition, shards)
  const listed = new Set(relevant.map(({ number }) => number))
  const past = ancestorsOf([...frontier.keys(), ...finished], shards)
  const isDone = (number: number): boolean => finished.has(number) || past.has(number) || !listed.has(number)
  return relevant.flatMap((shard): readonly Beginning[] => {
    const { number, parents } = shard
    if (finished.has(number)) return []
    const progress = frontier.get(number)
    if (progress !== undefined) return [{ shard, progress }]
    if (past.has(number) || !parents.every(isDone)) return []
    return [{ shard, progress: undefined }]
  })
}

/** Sets how far a shard is processed; its ancestors, which are finished then, are no longer needed. */
export function advance(frontier: Frontier, shard: Shard, progress: Progress, shards: readonly Shard[]): void {
  const isNew = !frontier.has(shard.number)
  frontier.set(shard.number, progress)
  if (!isNew || frontier.size === 1) return
  for (const ancestor of ancestorsOf([shard.number], shards)) frontier.delete(ancestor)
}
