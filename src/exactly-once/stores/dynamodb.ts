import { sleep, systemEnvironment, type Environment } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { Position } from '../../core/record.ts'
import type { TopicPartition } from '../../spec/index.ts'
import type { Lease } from '../leases.ts'
import type { ClientStore, Holding, TaskLog, TaskName } from '../store.ts'
import { DynamodbConnection } from './dynamodb-connection.ts'
import { LeaseSheet, type Rows } from './dynamodb-leases.ts'
import { DynamodbTaskLog } from './dynamodb-log.ts'
import { readDynamodbOptions, type DynamodbOptions } from './dynamodb-options.ts'
import { readPositions, storePositions } from './dynamodb-positions.ts'
import { prepareTable } from './dynamodb-table.ts'

/**
 * The commit store for workers on several hosts, on AWS: a table that they share. The bytes of a commit are written first, where no
 * one looks; then one conditional write of the head on (epoch, number) names them, which is the commit. There is no limit to its
 * size, and no transaction, which would cost twice as much.
 */
export class DynamodbStore implements ClientStore {
  readonly location: string
  readonly scope = 'network' as const
  readonly outputs = 'relay' as const
  readonly #connection: DynamodbConnection
  readonly #sheets = new Map<string, LeaseSheet>()

  private constructor(connection: DynamodbConnection) {
    this.location = connection.location
    this.#connection = connection
  }

  /**
   * Tries for three times `requestTimeout` while the service cannot be reached: one request that is not answered is no reason to give up. Errors: `bad-config`, `peer-missing`, `unauthorized`, `connection`,
   * `corrupt` (a table of a newer release).
   */
  static async open(given: DynamodbOptions, environment: Environment = systemEnvironment): Promise<DynamodbStore> {
    const options = readDynamodbOptions(given)
    const connection = await DynamodbConnection.load(options, environment)
    const deadline = environment.monotonic() + 3 * options.requestTimeout
    for (;;) {
      try {
        await prepareTable(connection, options.create)
        return new DynamodbStore(connection)
      } catch (error) {
        const again = StreamError.is(error) && error.retryable && environment.monotonic() < deadline
        if (again) await sleep(environment, pause)
        else {
          await connection.close()
          throw error
        }
      }
    }
  }

  acquire(task: TaskName): Promise<TaskLog> {
    return DynamodbTaskLog.acquire(this.#connection, task.id)
  }

  async leases(scope: string): Promise<readonly Lease[]> {
    return [...(await this.#sheet(scope).read('reading the leases')).rows.values()]
  }

  take(scope: string, name: string, owner: string, seen: Lease | undefined): Promise<boolean> {
    return this.#sheet(scope).change('taking a lease', rows => {
      const now = rows.get(name)
      if (now?.owner !== seen?.owner || now?.beat !== seen?.beat) return rows
      return withRow(rows, { name, owner, beat: (now?.beat ?? 0) + 1, wish: undefined })
    })
  }

  async beat(scope: string, owner: string): Promise<void> {
    await this.#sheet(scope).change('renewing leases', rows => {
      const mine = [...rows.values()].filter(row => row.owner === owner)
      return mine.length === 0 ? rows : withRow(rows, ...mine.map(row => ({ ...row, beat: row.beat + 1 })))
    })
  }

  async ask(scope: string, name: string, by: string): Promise<void> {
    await this.#sheet(scope).change('asking for a lease', rows => {
      const now = rows.get(name)
      return now?.owner === undefined ? rows : withRow(rows, { ...now, wish: by })
    })
  }

  async release(scope: string, name: string, owner: string): Promise<void> {
    await this.#sheet(scope).change('releasing a lease', rows => {
      const now = rows.get(name)
      if (now?.owner !== owner) return rows
      return withRow(rows, { name, owner: undefined, beat: now.beat + 1, wish: undefined })
    })
  }

  async remove(scope: string, name: string, seen: Lease): Promise<void> {
    await this.#sheet(scope).change('removing a lease', rows => {
      const now = rows.get(name)
      if (now?.owner !== seen.owner || now?.beat !== seen.beat) return rows
      const after = new Map(rows)
      return after.delete(name) ? after : rows
    })
  }

  positions(group: string, topic: string): Promise<ReadonlyMap<number, Position>> {
    return readPositions(this.#connection, group, topic)
  }

  storePositions(
    group: string,
    positions: readonly (TopicPartition & { readonly position: Position })[],
    holding?: Holding
  ): Promise<boolean> {
    return storePositions(this.#connection, group, positions, holding && { holding, sheet: this.#sheet(holding.scope) })
  }

  close(): Promise<void> {
    return this.#connection.close()
  }

  #sheet(scope: string): LeaseSheet {
    let sheet = this.#sheets.get(scope)
    if (!sheet) this.#sheets.set(scope, (sheet = new LeaseSheet(this.#connection, scope)))
    return sheet
  }
}

/** Between two attempts to open it, ms. */
const pause = 100

function withRow(rows: Rows, ...changed: readonly Lease[]): Rows {
  const after = new Map(rows)
  for (const row of changed) after.set(row.name, row)
  return after
}
