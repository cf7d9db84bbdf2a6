import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { annotationsOf, MapSection, pairsOf, splitMessage } from './amqp-bytes.ts'

/** One event as it is delivered. Its sequence number follows from its place. */
export interface StoredEvent {
  /** The message, annotations included. */
  readonly bytes: Buffer
  /** Length of the header section in front, where delivery annotations have to be put in. */
  readonly header: number
  readonly offset: number
  /** Milliseconds since the epoch. */
  readonly enqueued: number
}

const annotation = {
  sequence: 'x-opt-sequence-number',
  offset: 'x-opt-offset',
  enqueued: 'x-opt-enqueued-time',
  key: 'x-opt-partition-key'
} as const
const ours: ReadonlySet<string> = new Set(Object.values(annotation))

/** A partition: its events in memory, each publication a row in the database before it is acknowledged. */
export class PartitionLog {
  readonly id: string
  /** Sequence number of the first event that is still there. */
  begin: number = 0
  readonly #events: StoredEvent[] = []
  readonly #insert: (first: number, events: readonly StoredEvent[]) => void
  readonly #listeners = new Set<() => void>()
  #offset = 0

  constructor(id: string, insert: (first: number, events: readonly StoredEvent[]) => void) {
    this.id = id
    this.#insert = insert
  }

  /** Sequence number of the newest event, -1 before the first. */
  get last(): number {
    return this.begin + this.#events.length - 1
  }

  get isEmpty(): boolean {
    return this.#events.length === 0
  }

  get lastEvent(): StoredEvent | undefined {
    return this.#events.at(-1)
  }

  at(sequence: number): StoredEvent | undefined {
    return this.#events[sequence - this.begin]
  }

  /** The sequence number of the first event that the test accepts, in order; the next one to come when none does. */
  find(accepts: (event: StoredEvent) => boolean): number {
    let [low, high] = [0, this.#events.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (accepts(this.#events[middle]!)) high = middle
      else low = middle + 1
    }
    return this.begin + low
  }

  /** All of it becomes durable, or none. */
  append(messages: readonly Buffer[], keyOfBatch: string | undefined): void {
    const enqueued = Date.now()
    const first = this.last + 1
    const events = messages.map((message, index) => this.#prepare(message, first + index, enqueued, keyOfBatch))
    this.#insert(first, events)
    for (const event of events) this.#events.push(event)
    for (const listener of this.#listeners) listener()
  }

  /** What was stored before a restart. */
  restore(first: number, events: readonly StoredEvent[]): void {
    if (this.isEmpty) this.begin = first
    for (const event of events) this.#events.push(event)
    this.#offset = events.at(-1)!.offset + events.at(-1)!.bytes.length
  }

  /** Retention: what is before this sequence number goes. */
  trim(before: number): void {
    this.#events.splice(0, before - this.begin)
    this.begin = before
  }

  onAppend(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #prepare(message: Buffer, sequence: number, enqueued: number, keyOfBatch: string | undefined): StoredEvent {
    const offset = this.#offset
    const { header, rest } = splitMessage(message)
    const section = new MapSection()
      .long(annotation.sequence, sequence)
      .string(annotation.offset, String(offset))
      .timestamp(annotation.enqueued, enqueued)
    const given = annotationsOf(message)
    let key = keyOfBatch
    if (given) {
      const { bytes, count, texts } = pairsOf(given, ours)
      section.pairs(bytes, count)
      key ??= texts.get(annotation.key)
    }
    if (key !== undefined) section.string(annotation.key, key)
    const bytes = Buffer.concat([header, section.section('message annotations'), rest])
    this.#offset += bytes.length
    return { bytes, header: header.length, offset, enqueued }
  }
}

export interface Hub {
  readonly name: string
  /** Good for one creation: records of a hub that was deleted do not come back. */
  readonly id: number
  readonly created: number
  readonly partitions: PartitionLog[]
  /** Consumer groups, in lower case. */
  readonly groups: Set<string>
}

export const defaultGroup = '$default'

/** Every hub of the namespace, in a SQLite file that outlives the process. */
export class Hubs {
  readonly #database: DatabaseSync
  readonly #insert: StatementSync
  readonly #hubs = new Map<string, Hub>()

  constructor(file: string) {
    this.#database = new DatabaseSync(file)
    // A killed process keeps what was written; a power cut is not what is tested here.
    this.#database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
      CREATE TABLE IF NOT EXISTS hubs (id INTEGER PRIMARY KEY, name TEXT UNIQUE, created INTEGER, partitions INTEGER);
      CREATE TABLE IF NOT EXISTS consumer_groups (hub INTEGER, name TEXT, PRIMARY KEY (hub, name));
      CREATE TABLE IF NOT EXISTS trims (hub INTEGER, partition TEXT, before INTEGER, PRIMARY KEY (hub, partition));
      CREATE TABLE IF NOT EXISTS publications (hub INTEGER, partition TEXT, first INTEGER, enqueued INTEGER, events BLOB, layout TEXT,
        PRIMARY KEY (hub, partition, first))`)
    this.#insert = this.#database.prepare('INSERT INTO publications VALUES (?, ?, ?, ?, ?, ?)')
    this.#load()
  }

  get(name: string): Hub | undefined {
    return this.#hubs.get(name.toLowerCase())
  }

  list(): Hub[] {
    return [...this.#hubs.values()]
  }

  create(name: string, partitions: number): Hub {
    const created = Date.now()
    const { lastInsertRowid } = this.#database
      .prepare('INSERT INTO hubs (name, created, partitions) VALUES (?, ?, ?)')
      .run(name, created, partitions)
    return this.#add({ id: Number(lastInsertRowid), name, created, partitions })
  }

  /** Partitions can only be added, as in the premium and dedicated tiers. */
  grow(hub: Hub, partitions: number): void {
    this.#database.prepare('UPDATE hubs SET partitions = ? WHERE id = ?').run(partitions, hub.id)
    while (hub.partitions.length < partitions) hub.partitions.push(this.#partition(hub.id, hub.partitions.length))
  }

  delete(hub: Hub): void {
    for (const table of ['publications', 'trims', 'consumer_groups'])
      this.#database.prepare(`DELETE FROM ${table} WHERE hub = ?`).run(hub.id)
    this.#database.prepare('DELETE FROM hubs WHERE id = ?').run(hub.id)
    this.#hubs.delete(hub.name.toLowerCase())
  }

  addGroup(hub: Hub, group: string): void {
    this.#database.prepare('INSERT OR IGNORE INTO consumer_groups VALUES (?, ?)').run(hub.id, group.toLowerCase())
    hub.groups.add(group.toLowerCase())
  }

  trim(hub: Hub, partition: number, before: number): void {
    this.#database.prepare('INSERT OR REPLACE INTO trims VALUES (?, ?, ?)').run(hub.id, String(partition), before)
    hub.partitions[partition]!.trim(before)
  }

  close(): void {
    this.#database.close()
  }

  #add(row: { id: number; name: string; created: number; partitions: number }): Hub {
    const partitions = Array.from({ length: row.partitions }, (_, index) => this.#partition(row.id, index))
    const hub: Hub = { id: row.id, name: row.name, created: row.created, partitions, groups: new Set([defaultGroup]) }
    this.#hubs.set(row.name.toLowerCase(), hub)
    return hub
  }

  #partition(hub: number, index: number): PartitionLog {
    return new PartitionLog(String(index), (first, events) => {
      const layout = events.map(({ bytes, header, offset }) => [bytes.length, header, offset])
      const bytes = Buffer.concat(events.map(event => event.bytes))
      this.#insert.run(hub, String(index), first, events[0]!.enqueued, bytes, JSON.stringify(layout))
    })
  }

  #load(): void {
    const rows = (sql: string, ...values: number[]): Record<string, unknown>[] =>
      this.#database.prepare(sql).all(...values)
    for (const row of rows('SELECT * FROM hubs')) {
      const hub = this.#add(row as never)
      for (const { name } of rows('SELECT name FROM consumer_groups WHERE hub = ?', hub.id))
        hub.groups.add(name as string)
      for (const stored of rows('SELECT * FROM publications WHERE hub = ? ORDER BY first', hub.id)) {
        const { partition, first, enqueued, events, layout } = stored as unknown as StoredPublication
        hub.partitions[Number(partition)]!.restore(first, restored(Buffer.from(events), enqueued, layout))
      }
      for (const { partition, before } of rows('SELECT * FROM trims WHERE hub = ?', hub.id))
        hub.partitions[Number(partition)]!.trim(before as number)
    }
  }
}

interface StoredPublication {
  readonly partition: string
  readonly first: number
  readonly enqueued: number
  readonly events: Uint8Array
  /** JSON: length, length of the header section, offset of each. */
  readonly layout: string
}

function restored(bytes: Buffer, enqueued: number, layout: string): StoredEvent[] {
  let at = 0
  return (JSON.parse(layout) as [number, number, number][]).map(([length, header, offset]) => {
    const event = { bytes: bytes.subarray(at, at + length), header, offset, enqueued }
    at += length
    return event
  })
}
