/** What the workers of the battery leave in the store, and what must be true of it. */
import { DatabaseSync } from 'node:sqlite'
import type { TaskName } from '../../src/exactly-once/index.ts'

export const scope = 'battery'
export const historySlot = 'history'

/** One commit of one partition. */
export interface Entry {
  readonly owner: string
  readonly epoch: number
  readonly number: number
  readonly at: number
  /** The last one before a hand-over. */
  readonly last: boolean
  /** Of the first commit of a life: when its owner has looked at the table of late. */
  readonly looks: readonly number[]
}

export type Message =
  | { readonly kind: 'ready' }
  /** `releases`: `partition number` -> when it was given back after that commit. */
  | { readonly kind: 'left'; readonly refused: number; readonly releases: Readonly<Record<string, number>> }
  /** What came of its commits after it was stopped. */
  | { readonly kind: 'late'; readonly tried: number; readonly refused: number }

/** `stoppedAt`: commit what you had in your hands then. */
export type Word = 'leave' | { readonly stoppedAt: number }

/** Milliseconds on a clock that all processes of the host share. */
export const now = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000

export const partitionNames = (count: number): string[] => Array.from({ length: count }, (_, unit) => `${unit}`)

export const taskOf = (unit: string): TaskName => ({
  id: `battery/work/${unit}`,
  pipeline: 'battery',
  stage: 'work',
  ordinal: Number(unit)
})

export interface Verdict {
  readonly commits: number
  readonly doubleOwners: number
  /** From the last commit of an owner that gave a partition up to the first of the next one, ms. */
  readonly handOvers: readonly number[]
  /** Looks of the next owner from the release until then, where the release is known. */
  readonly looks: readonly number[]
}

/** Reads the store beside the workers. */
export class Observer {
  readonly #database: DatabaseSync
  readonly #partitions: number

  constructor(path: string, partitions: number) {
    this.#database = new DatabaseSync(path, { timeout: 5_000 })
    this.#partitions = partitions
  }

  /** Why the partitions are not shared out evenly among these, each with commits of its owner; `undefined` when they are. */
  uneven(workers: readonly string[]): string | undefined {
    const shares = new Map(workers.map(name => [name, 0]))
    const leases = this.#database
      .prepare(`SELECT name, owner FROM tidemark_lease WHERE scope = ? AND name NOT LIKE '~%'`)
      .all(scope) as unknown as { name: string; owner: string | null }[]
    if (leases.length < this.#partitions) return `${leases.length} leases`
    const committers = this.#committers()
    for (const { name, owner } of leases) {
      const holder = owner?.replace(/\/.*/, '') ?? 'nobody'
      const share = shares.get(holder)
      if (share === undefined) return `partition ${name} is ${holder}'s`
      shares.set(holder, share + 1)
      if (committers.get(name) !== holder)
        return `partition ${name} of ${holder} has a commit of ${committers.get(name)}`
    }
    const counts = [...shares.values()]
    return Math.max(...counts) - Math.min(...counts) > 1 ? `shares ${counts.join(' ')}` : undefined
  }

  /** The whole history: who committed what, under which epoch. */
  judge(releases: Readonly<Record<string, number>>): Verdict {
    const handOvers: number[] = []
    const looks: number[] = []
    let commits = 0
    let doubleOwners = 0
    for (const unit of partitionNames(this.#partitions)) {
      const entries = this.#entries(unit)
      const owners = new Map<number, string>()
      let before: Entry | undefined
      for (const entry of entries) {
        commits++
        if (entry.number !== (before?.number ?? 0) + 1)
          throw new Error(`partition ${unit}: a hole before ${entry.number}`)
        if ((owners.get(entry.epoch) ?? entry.owner) !== entry.owner || entry.epoch < (before?.epoch ?? 0))
          doubleOwners++
        owners.set(entry.epoch, entry.owner)
        const since = before
        if (since?.last && since.owner !== entry.owner) {
          handOvers.push(entry.at - since.at)
          const released = releases[`${unit} ${since.number}`]
          if (released !== undefined) looks.push(entry.looks.filter(at => at > released).length)
        }
        before = entry
      }
      const head = this.#database.prepare('SELECT number FROM tidemark_head WHERE task = ?').get(taskOf(unit).id)
      if (head?.['number'] !== entries.length)
        throw new Error(`partition ${unit}: ${entries.length} commits, head ${head?.['number']}`)
    }
    return { commits, doubleOwners, handOvers: handOvers.toSorted((left, right) => left - right), looks }
  }

  close(): void {
    this.#database.close()
  }

  #committers(): Map<string, string> {
    const rows = this.#database.prepare('SELECT task, head FROM tidemark_head WHERE head IS NOT NULL').all()
    return new Map(rows.map(row => [String(row['task']).replace(/.*\//, ''), entryOf(row['head'] as Uint8Array).owner]))
  }

  #entries(unit: string): Entry[] {
    const rows = this.#database
      .prepare('SELECT value FROM tidemark_state WHERE task = ? AND slot = ? ORDER BY key')
      .all(taskOf(unit).id, historySlot)
    return rows.map(row => entryOf(row['value'] as Uint8Array))
  }
}

const entryOf = (bytes: Uint8Array): Entry => JSON.parse(Buffer.from(bytes).toString()) as Entry
