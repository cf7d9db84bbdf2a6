import type { Position } from '../../core/record.ts'
import type { TopicPartition } from '../../spec/index.ts'
import type { RowReader } from '../../state/index.ts'
import type { Lease } from '../leases.ts'
import type {
  AppendOutcome,
  ClientStore,
  Commit,
  Holding,
  LastCommit,
  ReadBack,
  TaskLog,
  TaskName,
  UnsentOutputs
} from '../store.ts'
import { MemoryRowReader, MemoryRows } from './memory-rows.ts'

interface TaskRows {
  epoch: number
  last: LastCommit | undefined
  readonly state: MemoryRows
  unsent: UnsentOutputs[]
}

/**
 * The reference: all in this process, gone with it. Two clients that share one instance fence each other as they would on
 * a real store. `faults` is for tests.
 */
export class MemoryStore implements ClientStore {
  readonly location: string = 'memory:'
  readonly scope = 'process' as const
  readonly outputs = 'relay' as const
  /** Called before each append: `lose` does nothing and answers unknown, `hide` takes effect and answers unknown. */
  faults: ((task: string, commit: Commit) => 'lose' | 'hide' | undefined) | undefined
  readonly #tasks = new Map<string, TaskRows>()
  readonly #positions = new Map<string, ReadonlyMap<number, Position>>()
  readonly #leases = new Map<string, Map<string, Lease>>()

  async acquire(task: TaskName): Promise<TaskLog> {
    let rows = this.#tasks.get(task.id)
    if (!rows) this.#tasks.set(task.id, (rows = { epoch: 0, last: undefined, state: new MemoryRows(), unsent: [] }))
    rows.epoch++
    return new MemoryTaskLog(task.id, rows, this)
  }

  async leases(scope: string): Promise<readonly Lease[]> {
    return [...this.#rows(scope).values()]
  }

  async take(scope: string, name: string, owner: string, seen: Lease | undefined): Promise<boolean> {
    const now = this.#rows(scope).get(name)
    if (now?.owner !== seen?.owner || now?.beat !== seen?.beat) return false
    this.#rows(scope).set(name, { name, owner, beat: (now?.beat ?? 0) + 1, wish: undefined })
    return true
  }

  async beat(scope: string, owner: string): Promise<void> {
    for (const row of this.#rows(scope).values())
      if (row.owner === owner) this.#rows(scope).set(row.name, { ...row, beat: row.beat + 1 })
  }

  async ask(scope: string, name: string, by: string): Promise<void> {
    const now = this.#rows(scope).get(name)
    if (now?.owner !== undefined) this.#rows(scope).set(name, { ...now, wish: by })
  }

  async release(scope: string, name: string, owner: string): Promise<void> {
    const now = this.#rows(scope).get(name)
    if (now?.owner === owner)
      this.#rows(scope).set(name, { name, owner: undefined, beat: now.beat + 1, wish: undefined })
  }

  async remove(scope: string, name: string, { owner, beat }: Lease): Promise<void> {
    const now = this.#rows(scope).get(name)
    if (now?.owner === owner && now?.beat === beat) this.#rows(scope).delete(name)
  }

  async positions(group: string, topic: string): Promise<ReadonlyMap<number, Position>> {
    return this.#positions.get(`${group} ${topic}`) ?? new Map()
  }

  async storePositions(
    group: string,
    positions: readonly (TopicPartition & { readonly position: Position })[],
    holding?: Holding
  ): Promise<boolean> {
    const rows = this.#rows(holding?.scope ?? '')
    if (holding?.names.some(name => rows.get(name)?.owner !== holding.owner)) return false
    for (const { topic, partition, position } of positions) {
      const id = `${group} ${topic}`
      this.#positions.set(id, new Map(this.#positions.get(id)).set(partition, position))
    }
    return true
  }

  #rows(scope: string): Map<string, Lease> {
    let rows = this.#leases.get(scope)
    if (!rows) this.#leases.set(scope, (rows = new Map()))
    return rows
  }

  async close(): Promise<void> {}
}

class MemoryTaskLog implements TaskLog {
  readonly epoch: number
  readonly last: LastCommit | undefined
  readonly state: RowReader
  readonly unsent: readonly UnsentOutputs[]
  readonly #task: string
  readonly #rows: TaskRows
  readonly #store: MemoryStore

  constructor(task: string, rows: TaskRows, store: MemoryStore) {
    this.epoch = rows.epoch
    this.last = rows.last
    this.state = new MemoryRowReader(rows.state, () => rows.epoch === this.epoch)
    this.unsent = rows.unsent
    this.#task = task
    this.#rows = rows
    this.#store = store
  }

  async append(commit: Commit): Promise<AppendOutcome> {
    const fault = this.#store.faults?.(this.#task, commit)
    if (fault === 'lose') return 'unknown'
    const rows = this.#rows
    if (rows.epoch !== this.epoch || (rows.last?.number ?? 0) !== commit.number - 1) return 'fenced'
    rows.last = { number: commit.number, token: commit.token, head: commit.head }
    rows.state.apply(commit.state)
    rows.unsent = rows.unsent.filter(unsent => unsent.commit > commit.relayedTo)
    if (commit.outputs.length > 0) rows.unsent.push({ commit: commit.number, outputs: commit.outputs })
    return fault === 'hide' ? 'unknown' : 'ok'
  }

  async readBack(): Promise<ReadBack> {
    if (this.#rows.epoch !== this.epoch) return 'fenced'
    return { epoch: this.epoch, last: this.#rows.last }
  }

  async close(): Promise<void> {}
}
