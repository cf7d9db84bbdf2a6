import { StreamError } from '../../core/errors.ts'
import type { Lease } from '../leases.ts'
import type { Item } from './dynamodb-client.ts'
import type { DynamodbConnection, Place } from './dynamodb-connection.ts'
import { nameOf } from './dynamodb-errors.ts'
import { numberOf, textOf } from './dynamodb-parts.ts'

export type Rows = ReadonlyMap<string, Lease>

/** All leases of a scope as they were at one moment. */
interface Sheet {
  readonly version: number
  /** Counts the changes of owners: beats and wishes leave it. */
  readonly changes: number
  readonly rows: Rows
}

/** The rows after it; the same map when there is nothing to change. */
type Change = (rows: Rows) => Rows

interface Pending {
  readonly doing: string
  readonly change: Change
  readonly settle: (took: boolean) => void
  readonly fail: (error: unknown) => void
}

const none: Sheet = { version: 0, changes: 0, rows: new Map() }

/**
 * The leases of one scope are one item: so all of them are read as of one moment, and each change is one conditional write on its
 * version. Changes that come together are written together.
 */
export class LeaseSheet {
  readonly place: Place
  readonly #connection: DynamodbConnection
  #known: Sheet | undefined
  #pending: Pending[] = []
  #writing = false

  constructor(connection: DynamodbConnection, scope: string) {
    this.#connection = connection
    this.place = { pk: `leases/${scope}`, sk: 'leases' }
  }

  async read(doing: string): Promise<Sheet> {
    return (this.#known = sheetOf(await this.#connection.get(doing, this.place)))
  }

  /** Resolves to whether it has changed anything, judged on what nobody else has changed since. */
  change(doing: string, change: Change): Promise<boolean> {
    return new Promise((settle, fail) => {
      this.#pending.push({ doing, change, settle, fail })
      if (!this.#writing) void this.#write()
    })
  }

  async #write(): Promise<void> {
    this.#writing = true
    // Those that are asked for in this turn go together.
    await Promise.resolve()
    while (this.#pending.length > 0) {
      const some = this.#pending.splice(0)
      try {
        const took = await this.#writeAll(some)
        for (const [index, { settle }] of some.entries()) settle(took[index]!)
      } catch (error) {
        // Whether it took effect is not known.
        this.#known = undefined
        for (const { fail } of some) fail(error)
      }
    }
    this.#writing = false
  }

  async #writeAll(some: readonly Pending[]): Promise<boolean[]> {
    const { doing } = some[0]!
    let fresh = this.#known === undefined
    let sheet = this.#known ?? (await this.read(doing))
    for (let failures = 0; ; failures++) {
      const took: boolean[] = []
      let { rows } = sheet
      for (const { change } of some) {
        const after = change(rows)
        took.push(after !== rows)
        rows = after
      }
      // That nothing is to be done may be said of what is true now only.
      if (rows === sheet.rows && fresh) return took
      if (rows !== sheet.rows && (took.every(Boolean) || fresh)) {
        const next = { version: sheet.version + 1, changes: sheet.changes + Number(moved(sheet.rows, rows)), rows }
        const found = await this.#put(doing, next)
        if (!found) {
          this.#known = next
          return took
        }
        this.#known = sheet = found
        if (failures > 0) await this.#connection.pause(Math.min(failures, 3))
      } else sheet = await this.read(doing)
      fresh = true
    }
  }

  /** Gives what is there instead, `undefined` when it was written. */
  async #put(doing: string, { version, changes, rows }: Sheet): Promise<Sheet | undefined> {
    try {
      await this.#connection.request(doing, 'PutItem', {
        TableName: this.#connection.table,
        Item: {
          pk: { S: this.place.pk },
          sk: { S: this.place.sk },
          version: { N: `${version}` },
          changes: { N: `${changes}` },
          rows: { S: JSON.stringify(packed(rows)) }
        },
        ConditionExpression: version === 1 ? 'attribute_not_exists(#version)' : '#version = :before',
        ExpressionAttributeNames: { '#version': 'version' },
        ...(version > 1 && { ExpressionAttributeValues: { ':before': { N: `${version - 1}` } } }),
        ReturnValuesOnConditionCheckFailure: 'ALL_OLD'
      })
      return undefined
    } catch (error) {
      const cause = (error as Error).cause as { readonly Item?: Item } | undefined
      if (nameOf(cause) !== 'ConditionalCheckFailedException') throw error
      return sheetOf(cause?.Item)
    }
  }
}

function moved(before: Rows, after: Rows): boolean {
  if (before.size !== after.size) return true
  for (const [name, { owner }] of after) if (before.get(name)?.owner !== owner) return true
  return false
}

/** Owners have long names and many rows: each is written once. */
interface Packed {
  readonly owners: readonly string[]
  /** Name -> index of the owner or -1, beat, index of who wishes. */
  readonly rows: Readonly<Record<string, readonly [owner: number, beat: number, wish?: number]>>
}

function packed(rows: Rows): Packed {
  const owners = new Map<string, number>()
  const indexOf = (owner: string): number => {
    if (!owners.has(owner)) owners.set(owner, owners.size)
    return owners.get(owner)!
  }
  const entries = [...rows.values()].map(({ name, owner, beat, wish }): [string, Packed['rows'][string]] => {
    const index = owner === undefined ? -1 : indexOf(owner)
    return [name, wish === undefined ? [index, beat] : [index, beat, indexOf(wish)]]
  })
  return { rows: Object.fromEntries(entries), owners: [...owners.keys()] }
}

function sheetOf(item: Item | undefined): Sheet {
  if (!item) return none
  try {
    const { owners, rows } = JSON.parse(textOf(item['rows'])!) as Packed
    const leases = Object.entries(rows).map(([name, [owner, beat, wish]]): [string, Lease] => [
      name,
      { name, owner: owners[owner], beat, wish: wish === undefined ? undefined : owners[wish] }
    ])
    return { version: numberOf(item['version']), changes: numberOf(item['changes']), rows: new Map(leases) }
  } catch (error) {
    throw new StreamError('corrupt', `the leases of '${item['pk']?.S}' do not parse`, { cause: error })
  }
}
