import { advance, readable, shardOf, type Shard } from '../../src/adapters/kinesis/shards.ts'
import { frontierOf, positionOf, type Frontier } from '../../src/adapters/kinesis/positions.ts'
import { hashKeys } from '../../src/adapters/kinesis/hash-keys.ts'

/**
 * A stream of one partition, two keys at a quarter and at three quarters of its hash keys. Its shards are split in the middle and merged
 * again while producers write and a reader reads, commits its position with what it has processed, and crashes. Which shards it
 * may read, how far it has come and what its position says is the product.
 */
export interface StoredShard {
  readonly number: number
  readonly parents: readonly number[]
  /** The keys that it holds: both, or one of them. */
  readonly keys: readonly number[]
  readonly open: boolean
  /** Key and number of each record; its place in the stream as sequence. */
  readonly records: readonly { readonly key: number; readonly nth: number; readonly at: number }[]
}

interface Reading {
  readonly position: string | undefined
  /** How many of each key, in order. */
  readonly got: readonly number[]
}

export interface World {
  readonly shards: readonly StoredShard[]
  readonly written: readonly number[]
  readonly reader: {
    readonly committed: Reading
    readonly live: Reading
    /** Read to their end in this life. */
    readonly finished: readonly number[]
    /** What the last listing said: how many shards, and which of them were closed. */
    readonly listed: readonly { readonly number: number; readonly open: boolean }[]
  }
  readonly reshards: number
  readonly crashes: number
  readonly failure?: string
}

export interface Rules {
  /** Of each key. */
  readonly records: number
  readonly reshards: number
  readable: typeof readable
  position(shard: number, at: number, frontier: Frontier): string
  readonly finishesOpen: boolean
}

export const rules: Rules = {
  records: 2,
  reshards: 2,
  readable,
  position: (shard, at, frontier) => positionOf(shard, `${at}`, 0, frontier),
  finishesOpen: false
}

/** Without waiting for anybody. */
export const early: Rules['readable'] = (partition, shards, frontier, finished) =>
  readable(
    partition,
    shards.map(shard => ({ ...shard, parents: [] })),
    frontier,
    finished
  )

export const someParent: Rules['readable'] = (partition, shards, frontier, finished) =>
  readable(
    partition,
    shards.map(shard => ({ ...shard, parents: shard.parents.slice(0, 1) })),
    frontier,
    finished
  )

export const onlyLast: Rules['position'] = (shard, at) => positionOf(shard, `${at}`, 0)

const nothing: Reading = { position: undefined, got: [0, 0] }

export const start: World = {
  shards: [{ number: 0, parents: [], keys: [0, 1], open: true, records: [] }],
  written: [0, 0],
  reader: { committed: nothing, live: nothing, finished: [], listed: [{ number: 0, open: true }] },
  reshards: 0,
  crashes: 1
}

const idOf = (number: number): string => `shardId-${String(number).padStart(12, '0')}`

/** As the service lists it. */
function listedShard({ number, parents, keys }: StoredShard, open: boolean): Shard {
  const half = hashKeys / 2n
  const [from, to] = [keys[0] === 0 ? 0n : half, keys.at(-1) === 1 ? hashKeys - 1n : half - 1n]
  return shardOf(
    {
      ShardId: idOf(number),
      HashKeyRange: { StartingHashKey: `${from}`, EndingHashKey: `${to}` },
      SequenceNumberRange: { StartingSequenceNumber: '0', ...(!open && { EndingSequenceNumber: '9' }) },
      ...(parents[0] !== undefined && { ParentShardId: idOf(parents[0]) }),
      ...(parents[1] !== undefined && { AdjacentParentShardId: idOf(parents[1]) })
    },
    1
  )
}

export function successors(rules: Rules, world: World): (readonly [string, World])[] {
  const found: (readonly [string, World])[] = []
  if (world.failure) return found
  const add = (name: string, next: World): void => void found.push([name, next])
  writes(rules, world, add)
  if (world.reshards < rules.reshards) reshard(world, add)
  reads(rules, world, add)
  const { reader, shards } = world
  const listed = shards.map(({ number, open }) => ({ number, open }))
  if (JSON.stringify(listed) !== JSON.stringify(reader.listed))
    add('the reader lists the shards', { ...world, reader: { ...reader, listed } })
  if (JSON.stringify(reader.live) !== JSON.stringify(reader.committed))
    add('the reader commits', { ...world, reader: { ...reader, committed: reader.live } })
  if (world.crashes > 0) {
    const { committed } = reader
    add('the reader crashes', {
      ...world,
      crashes: world.crashes - 1,
      reader: { committed, live: committed, finished: [], listed }
    })
  }
  return found
}

type Add = (name: string, world: World) => void

function writes({ records }: Rules, world: World, add: Add): void {
  for (const key of [0, 1]) {
    const nth = world.written[key]! + 1
    if (nth > records) continue
    const at = world.written[0]! + world.written[1]! + 1
    const shards = world.shards.map(shard =>
      shard.open && shard.keys.includes(key) ? { ...shard, records: [...shard.records, { key, nth, at }] } : shard
    )
    add(`key ${key} gets ${nth}`, { ...world, shards, written: world.written.with(key, nth) })
  }
}

function reshard(world: World, add: Add): void {
  const open = world.shards.filter(shard => shard.open)
  const next = world.shards.length
  const closed = world.shards.map(shard => ({ ...shard, open: false }))
  const change = (what: string, made: StoredShard[]): void =>
    add(what, { ...world, shards: [...closed, ...made], reshards: world.reshards + 1 })
  const [first, second] = open
  if (second) {
    const parents = [first!.number, second.number]
    change(`${parents.join(' and ')} are merged`, [{ number: next, parents, keys: [0, 1], open: true, records: [] }])
  } else {
    const half = (number: number, key: number): StoredShard => ({
      ...{ number, parents: [first!.number], keys: [key], open: true, records: [] }
    })
    change(`${first!.number} is split`, [half(next, 0), half(next + 1, 1)])
  }
}

function reads(rules: Rules, world: World, add: Add): void {
  const { reader } = world
  const { live } = reader
  const shards = reader.listed.map(({ number, open }) => listedShard(world.shards[number]!, open))
  const frontier: Frontier = live.position === undefined ? new Map() : frontierOf(live.position)!
  const finished = new Set(reader.finished)
  for (const { shard, progress } of rules.readable(0, shards, frontier, finished)) {
    const stored = world.shards[shard.number]!
    const from = progress && 'sequence' in progress ? Number(progress.sequence) : 0
    const record = stored.records.find(({ at }) => at > from)
    if (!record) {
      // The service says that a shard has ended when it is closed and read out, whatever the last listing said.
      if (stored.open && !rules.finishesOpen) continue
      add(`the end of ${shard.number}`, {
        ...world,
        reader: { ...reader, finished: [...reader.finished, shard.number].sort() }
      })
      continue
    }
    const { key, nth, at } = record
    const moved = new Map(frontier)
    advance(moved, shard, { sequence: `${at}`, sub: 0 }, shards)
    const position = rules.position(shard.number, at, moved)
    const due = live.got[key]! + 1
    const failure =
      nth === due ? undefined : `${nth < due ? 'DUPLICATE' : 'ORDER'} key ${key}: ${nth} came where ${due} was due`
    add(`reads ${nth} of key ${key} from ${shard.number}`, {
      ...world,
      reader: { ...reader, live: { position, got: live.got.with(key, nth) } },
      ...(failure && { failure })
    })
  }
}

export function violation({ failure, reader, shards }: World): string | undefined {
  if (failure) return failure
  // What lies in shards that count as read can never come any more.
  const lost = shards.flatMap(shard => (reader.finished.includes(shard.number) ? shard.records : []))
  const gone = lost.find(({ key, nth }) => nth > reader.live.got[key]!)
  return gone && `LOST ${gone.nth} of key ${gone.key}`
}
