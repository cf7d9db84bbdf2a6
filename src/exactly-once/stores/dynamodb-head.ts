import { view } from '../../core/codec.ts'
import type { LastCommit } from '../store.ts'
import type { Item, Value } from './dynamodb-client.ts'
import { keyOf, type DynamodbConnection, type Place } from './dynamodb-connection.ts'
import { nameOf } from './dynamodb-errors.ts'
import { numberOf, partOf, textOf, type Part } from './dynamodb-parts.ts'
import { readChain } from './dynamodb-recovery.ts'

/** The one item of a task that is written with a condition: what it names is committed, all else is nothing. */
export interface HeadRow {
  readonly pk: string
  readonly epoch: number
  /** 0: there is no commit yet. */
  readonly number: number
  readonly token: string
  /** Either the head itself, or where it is. */
  readonly head?: Uint8Array | undefined
  readonly headPart?: string | undefined
  /** The last parts, as pointers. */
  readonly state: string | undefined
  readonly outputs: string | undefined
  readonly base: string | undefined
  /** Outputs of commits up to here are sent. */
  readonly relayed: number
}

export const taskKey = (task: string): string => `task/${task}`
const placeOf = (pk: string): Place => ({ pk, sk: 'head' })

export const partsOf = (kind: Part['kind'], text: string | undefined): Part[] => {
  const part = partOf(kind, text)
  return part ? [part] : []
}

/** The fence: from here on, no older owner can move it. */
export async function raise(connection: DynamodbConnection, task: string): Promise<HeadRow> {
  const pk = taskKey(task)
  const { Attributes } = await connection.request(`acquiring task '${task}'`, 'UpdateItem', {
    TableName: connection.table,
    Key: keyOf(placeOf(pk)),
    UpdateExpression: 'SET #number = if_not_exists(#number, :zero) ADD #epoch :one',
    ExpressionAttributeNames: { '#number': 'number', '#epoch': 'epoch' },
    ExpressionAttributeValues: { ':zero': { N: '0' }, ':one': { N: '1' } },
    ReturnValues: 'ALL_NEW'
  })
  return rowOf(pk, Attributes)
}

export async function readHead(connection: DynamodbConnection, pk: string): Promise<HeadRow | undefined> {
  const item = await connection.get(`reading the last commit of '${pk}'`, placeOf(pk))
  return item && rowOf(pk, item)
}

/** The conditional write on (epoch, number). Gives what was in its way, `undefined` when it took effect. */
export async function moveHead(
  connection: DynamodbConnection,
  doing: string,
  row: HeadRow
): Promise<HeadRow | undefined> {
  const names: Record<string, string> = { '#epoch': 'epoch', '#number': 'number' }
  const values: Record<string, Value> = { ':epoch': { N: `${row.epoch}` }, ':before': { N: `${row.number - 1}` } }
  const sets: string[] = []
  const removed: string[] = []
  const wanted: Record<string, Value | undefined> = {
    number: { N: `${row.number}` },
    token: { S: row.token },
    relayed: { N: `${row.relayed}` },
    head: row.head && { B: row.head },
    headPart: textValue(row.headPart),
    state: textValue(row.state),
    outputs: textValue(row.outputs),
    base: textValue(row.base)
  }
  for (const [name, value] of Object.entries(wanted)) {
    names[`#${name}`] = name
    if (!value) removed.push(`#${name}`)
    else {
      values[`:${name}`] = value
      sets.push(`#${name} = :${name}`)
    }
  }
  try {
    await connection.request(doing, 'UpdateItem', {
      TableName: connection.table,
      Key: keyOf(placeOf(row.pk)),
      ConditionExpression: '#epoch = :epoch AND #number = :before',
      UpdateExpression: `SET ${sets.join(', ')}${removed.length > 0 ? ` REMOVE ${removed.join(', ')}` : ''}`,
      ExpressionAttributeNames: names,
      ExpressionAttributeValues: values,
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD'
    })
    return undefined
  } catch (error) {
    const cause = (error as Error).cause as { readonly Item?: Item } | undefined
    if (nameOf(cause) !== 'ConditionalCheckFailedException') throw error
    return rowOf(row.pk, cause?.Item ?? {})
  }
}

/** The last commit; reads its head where that is not in the row. */
export async function lastOf(connection: DynamodbConnection, row: HeadRow): Promise<LastCommit | undefined> {
  if (row.number === 0) return undefined
  const { number, token } = row
  if (row.head) return { number, token, head: row.head }
  const part = partOf('head', row.headPart)!
  const { parts } = await readChain(connection, row.pk, 'head', part, part.number - 1, false)
  return { number, token, head: parts[0]!.data }
}

const textValue = (text: string | undefined): Value | undefined => (text === undefined ? undefined : { S: text })

function rowOf(pk: string, item: Item): HeadRow {
  const head = item['head']?.B
  return {
    pk,
    epoch: numberOf(item['epoch']),
    number: numberOf(item['number']),
    token: textOf(item['token']) ?? '',
    head: head && view(head),
    headPart: textOf(item['headPart']),
    state: textOf(item['state']),
    outputs: textOf(item['outputs']),
    base: textOf(item['base']),
    relayed: numberOf(item['relayed'])
  }
}
