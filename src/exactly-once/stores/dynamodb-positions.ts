import { StreamError } from '../../core/errors.ts'
import type { Position } from '../../core/record.ts'
import type { TopicPartition } from '../../spec/index.ts'
import type { Holding } from '../store.ts'
import type { Value } from './dynamodb-client.ts'
import { keyOf, type DynamodbConnection } from './dynamodb-connection.ts'
import { nameOf, reasons } from './dynamodb-errors.ts'
import type { LeaseSheet } from './dynamodb-leases.ts'

type Positioned = TopicPartition & { readonly position: Position }

/** Partitions of an item, whose names must fit into one expression; items of a transaction, beside the leases. */
const perItem = 64
const perTransaction = 99

const pkOf = (group: string): string => `positions/${group}`
const prefixOf = (topic: string): string => `${encodeURIComponent(topic)}/`

/** An item for each 64 partitions of a topic, with one attribute for each of them. */
export async function readPositions(
  connection: DynamodbConnection,
  group: string,
  topic: string
): Promise<ReadonlyMap<number, Position>> {
  const prefix = prefixOf(topic)
  const found = new Map<number, Position>()
  for await (const item of connection.query('reading positions', pkOf(group), [prefix, `${prefix}~`]))
    for (const [name, value] of Object.entries(item)) {
      const partition = /^p(\d+)$/.exec(name)?.[1]
      if (partition !== undefined) found.set(Number(partition), value.S!)
    }
  return found
}

/** One transaction: with leases, on condition that none of them has changed hands since they were looked at. */
export async function storePositions(
  connection: DynamodbConnection,
  group: string,
  positions: readonly Positioned[],
  held: { readonly holding: Holding; readonly sheet: LeaseSheet } | undefined
): Promise<boolean> {
  const updates = updatesOf(connection, group, positions)
  for (let start = 0; start < updates.length || start === 0; start += perTransaction)
    if (!(await storeSome(connection, updates.slice(start, start + perTransaction), held))) return false
  return true
}

async function storeSome(
  connection: DynamodbConnection,
  updates: readonly object[],
  held: { readonly holding: Holding; readonly sheet: LeaseSheet } | undefined
): Promise<boolean> {
  const doing = 'storing positions'
  for (let failures = 0; ; failures++) {
    const actions = [...updates]
    if (held) {
      const { changes, rows } = await held.sheet.read(doing)
      if (held.holding.names.some(name => rows.get(name)?.owner !== held.holding.owner)) return false
      actions.unshift({
        ConditionCheck: {
          TableName: connection.table,
          Key: keyOf(held.sheet.place),
          ConditionExpression: '#changes = :changes',
          ExpressionAttributeNames: { '#changes': 'changes' },
          ExpressionAttributeValues: { ':changes': { N: `${changes}` } }
        }
      })
    }
    if (updates.length === 0) return true
    try {
      await connection.request(doing, 'TransactWriteItems', { TransactItems: actions })
      return true
    } catch (error) {
      const cause = (error as Error).cause
      const changed = nameOf(cause) === 'TransactionCanceledException' && reasons(cause)[0] === 'ConditionalCheckFailed'
      if (!held || !changed) throw error
      if (failures > 20)
        throw new StreamError('throttled', `${connection.location}: ${doing}: leases change hands all the time`, {
          retryable: true,
          cause: error
        })
    }
  }
}

function updatesOf(connection: DynamodbConnection, group: string, positions: readonly Positioned[]): object[] {
  const items = new Map<string, Map<number, Position>>()
  for (const { topic, partition, position } of positions) {
    const block = String(Math.floor(partition / perItem)).padStart(6, '0')
    const sk = `${prefixOf(topic)}${block}`
    items.set(sk, (items.get(sk) ?? new Map()).set(partition, position))
  }
  return [...items].map(([sk, places]) => {
    const names: Record<string, string> = {}
    const values: Record<string, Value> = {}
    for (const [partition, position] of places) {
      names[`#p${partition}`] = `p${partition}`
      values[`:p${partition}`] = { S: position }
    }
    return {
      Update: {
        TableName: connection.table,
        Key: keyOf({ pk: pkOf(group), sk }),
        UpdateExpression: `SET ${[...places.keys()].map(partition => `#p${partition} = :p${partition}`).join(', ')}`,
        ExpressionAttributeNames: names,
        ExpressionAttributeValues: values
      }
    }
  })
}
