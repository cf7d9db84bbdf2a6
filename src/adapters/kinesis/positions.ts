import type { Position } from '../../core/record.ts'

/** The last record that was processed of one shard. */
export interface ShardPlace {
  /** Decimal, up to 128 bits. */
  readonly sequence: string
  /** Place in the aggregate, from 0; 0 for a record that is none. */
  readonly sub: number
}

/** How far a shard is processed: up to a record, or nothing from a time on (ms since the epoch). */
export type Progress = ShardPlace | { readonly time: number }

/** Shard number -> progress, of all shards that a partition is read from at the same time: nearly always one. */
export type Frontier = Map<number, Progress>

/** `shardId-000000000007` -> 7. Shards are numbered as they come: a child has a higher number than its parents. */
export function shardNumber(shardId: string): number {
  const digits = /(\d+)$/.exec(shardId)?.[1]
  return digits === undefined ? -1 : Number(digits)
}

/**
 * `shard:sequence:sub`, as the answer to a send and a reader write it alike; `shard:@time` for a shard of which nothing has
 * come. Of several shards the one that has just moved comes first.
 */
export function positionOf(shard: number, sequence: string, sub: number, frontier?: Frontier): Position {
  const own = `${shard}:${sequence}:${sub}`
  if (frontier === undefined || frontier.size < 2) return own
  const others = [...frontier].filter(([number]) => number !== shard).sort(([left], [right]) => left - right)
  return [
    own,
    ...others.map(([number, progress]) =>
      'time' in progress ? `${number}:@${progress.time}` : `${number}:${progress.sequence}:${progress.sub}`
    )
  ].join(',')
}

/** `undefined` for what is no position of ours. */
export function frontierOf(position: Position): Frontier | undefined {
  const frontier: Frontier = new Map()
  for (const part of position.split(',')) {
    const found = /^(\d+):(?:@(\d+)|(\d+):(\d+))$/.exec(part)
    if (!found) return undefined
    const [, shard, time, sequence, sub] = found as unknown as [string, string, string?, string?, string?]
    frontier.set(Number(shard), time === undefined ? { sequence: sequence!, sub: Number(sub) } : { time: Number(time) })
  }
  return frontier
}

export function compareSequences(left: string, right: string): number {
  return left.length - right.length || (left < right ? -1 : left > right ? 1 : 0)
}

export function comparePlaces(left: ShardPlace, right: ShardPlace): number {
  return compareSequences(left.sequence, right.sequence) || left.sub - right.sub
}

/** By the first shard that both know and disagree on, else by the newest shard. */
export function comparePositions(left: Position, right: Position): number {
  if (left === right) return 0
  const [ours, theirs] = [frontierOf(left), frontierOf(right)]
  if (!ours || !theirs) return left < right ? -1 : 1
  for (const [shard, progress] of ours) {
    const other = theirs.get(shard)
    if (other === undefined) continue
    const order = compareProgress(progress, other)
    if (order !== 0) return order
  }
  return Math.max(...ours.keys()) - Math.max(...theirs.keys()) || ours.size - theirs.size
}

function compareProgress(left: Progress, right: Progress): number {
  if ('time' in left) return 'time' in right ? left.time - right.time : -1
  return 'time' in right ? 1 : comparePlaces(left, right)
}
