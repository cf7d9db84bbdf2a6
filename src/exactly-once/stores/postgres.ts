import { sleep, systemEnvironment, type Environment } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { Position } from '../../core/record.ts'
import type { TopicPartition } from '../../spec/index.ts'
import type { Lease } from '../leases.ts'
import type { ClientStore, Holding, TaskName } from '../store.ts'
import { textArray } from './postgres-arrays.ts'
import { Connections } from './postgres-connections.ts'
import { PostgresTaskLog } from './postgres-log.ts'
import { readPostgresOptions, type PostgresOptions } from './postgres-options.ts'
import { prepareSchema, tablesOf, type Tables } from './postgres-schema.ts'
import { leaseTexts } from './postgres-statements.ts'

/**
 * The commit store for workers on several hosts: a database that they share. A commit is one statement: a conditional write
 * on (epoch, number), on which outputs, state and, in a sink, rows hang. What a worker that lost its connection has sent
 * last is read back, never guessed.
 */
export class PostgresStore implements ClientStore {
  readonly location: string
  readonly scope = 'network' as const
  readonly outputs = 'relay' as const
  /** For a sink that shares the database. */
  readonly connections: Connections
  readonly #tables: Tables
  readonly #texts: ReturnType<typeof leaseTexts>

  private constructor(connections: Connections, tables: Tables) {
    this.location = connections.location
    this.connections = connections
    this.#tables = tables
    this.#texts = leaseTexts(tables)
  }

  /**
   * Tries for `connectTimeout` ms while the server cannot be reached or is starting. Errors: `bad-config`, `peer-missing`,
   * `unauthorized`, `connection`, `corrupt` (tables of a newer release).
   */
  static async open(given: PostgresOptions, environment: Environment = systemEnvironment): Promise<PostgresStore> {
    const options = readPostgresOptions(given)
    const connections = await Connections.load(options, environment)
    const deadline = environment.monotonic() + options.connectTimeout
    for (;;) {
      try {
        await prepareSchema(connections, options.schema, options.migrate)
        return new PostgresStore(connections, tablesOf(options.schema))
      } catch (error) {
        const again = StreamError.is(error) && error.retryable && environment.monotonic() < deadline
        if (again) await sleep(environment, pause)
        else {
          await connections.close()
          throw error
        }
      }
    }
  }

  /** Connections alone, for what wants no commits. Opens none yet. Errors: `bad-config`, `peer-missing`. */
  static connect(given: PostgresOptions, environment: Environment = systemEnvironment): Promise<Connections> {
    return Connections.load(readPostgresOptions(given), environment)
  }

  acquire(task: TaskName): Promise<PostgresTaskLog> {
    return PostgresTaskLog.acquire(this.connections, this.#tables, task.id)
  }

  async leases(scope: string): Promise<readonly Lease[]> {
    return (await this.#lease<LeaseRow>('reading the leases', 'leases', [scope])).map(leaseOf)
  }

  async take(scope: string, name: string, owner: string, seen: Lease | undefined): Promise<boolean> {
    const taken = seen
      ? await this.#lease('taking a lease', 'take', [scope, name, owner, seen.owner ?? null, seen.beat])
      : await this.#lease('taking a lease', 'add', [scope, name, owner])
    return taken.length === 1
  }

  async beat(scope: string, owner: string): Promise<void> {
    await this.#lease('renewing leases', 'beat', [scope, owner])
  }

  async ask(scope: string, name: string, by: string): Promise<void> {
    await this.#lease('asking for a lease', 'ask', [scope, name, by])
  }

  async release(scope: string, name: string, owner: string): Promise<void> {
    await this.#lease('releasing a lease', 'release', [scope, name, owner])
  }

  async remove(scope: string, name: string, seen: Lease): Promise<void> {
    await this.#lease('removing a lease', 'remove', [scope, name, seen.owner ?? null, seen.beat])
  }

  async positions(group: string, topic: string): Promise<ReadonlyMap<number, Position>> {
    const rows = await this.#lease<{ partition: number; position: string }>('reading positions', 'positions', [
      group,
      topic
    ])
    return new Map(rows.map(row => [row.partition, row.position]))
  }

  async storePositions(
    group: string,
    positions: readonly (TopicPartition & { readonly position: Position })[],
    holding?: Holding
  ): Promise<boolean> {
    const last = [...new Map(positions.map(each => [`${each.partition} ${each.topic}`, each])).values()]
    const values = [
      group,
      textArray(last.map(each => each.topic)),
      last.map(each => each.partition),
      textArray(last.map(each => each.position))
    ]
    if (!holding) {
      await this.#lease('storing positions', 'store', values)
      return true
    }
    const names = [...new Set(holding.names)]
    const held = [holding.scope, holding.owner, textArray(names), names.length]
    const [row] = await this.#lease<{ holding: boolean }>('storing positions', 'storeHolding', [...values, ...held])
    return row!.holding
  }

  close(): Promise<void> {
    return this.connections.close()
  }

  #lease<Row>(
    doing: string,
    text: keyof ReturnType<typeof leaseTexts>,
    values: readonly unknown[]
  ): Promise<readonly Row[]> {
    return this.connections.query<Row>(doing, this.#texts[text], values, 'leases')
  }
}

/** Between two attempts to open it, ms; how long to wait for a connection grows by itself. */
const pause = 50

interface LeaseRow {
  readonly name: string
  readonly owner: string | null
  readonly beat: string
  readonly wish: string | null
}

const leaseOf = ({ name, owner, beat, wish }: LeaseRow): Lease => ({
  name,
  owner: owner ?? undefined,
  beat: Number(beat),
  wish: wish ?? undefined
})
