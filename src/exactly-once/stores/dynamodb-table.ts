import { sleep } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { DynamodbConnection } from './dynamodb-connection.ts'
import { keyOf } from './dynamodb-connection.ts'
import { nameOf } from './dynamodb-errors.ts'

/** Version of what is in the table; a newer one is refused. */
const version = 1

const versionPlace = { pk: 'version', sk: 'version' } as const

/** The table as `CreateTable`, CloudFormation and Terraform want it: two text keys, paid by request. */
export function tableDescription(table: string): Readonly<Record<string, unknown>> {
  return {
    TableName: table,
    BillingMode: 'PAY_PER_REQUEST',
    AttributeDefinitions: [
      { AttributeName: 'pk', AttributeType: 'S' },
      { AttributeName: 'sk', AttributeType: 'S' }
    ],
    KeySchema: [
      { AttributeName: 'pk', KeyType: 'HASH' },
      { AttributeName: 'sk', KeyType: 'RANGE' }
    ]
  }
}

/** All that a worker may do: with these it can neither create nor drop, nor look at any other table. */
export function workerPolicy(tableArn: string, create: boolean): Readonly<Record<string, unknown>> {
  const actions = [
    'BatchWriteItem',
    'ConditionCheckItem',
    'DeleteItem',
    'DescribeTable',
    'GetItem',
    'PutItem',
    'Query',
    'UpdateItem'
  ]
  return {
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Action: [...actions, ...(create ? ['CreateTable'] : [])].map(action => `dynamodb:${action}`),
        Resource: tableArn
      }
    ]
  }
}

interface Described {
  readonly TableStatus: string
  readonly KeySchema: readonly { readonly AttributeName: string; readonly KeyType: string }[]
  readonly AttributeDefinitions: readonly { readonly AttributeName: string; readonly AttributeType: string }[]
}

/** The table is there, is ours, and is of this version, or is made so. Errors: `bad-config`, `corrupt`, those of requests. */
export async function prepareTable(connection: DynamodbConnection, create: boolean): Promise<void> {
  const { table, environment } = connection
  let made = false
  for (;;) {
    const described = await describe(connection)
    if (described?.TableStatus === 'ACTIVE' || described?.TableStatus === 'UPDATING') {
      assertKeys(connection, described)
      break
    }
    if (!described && !create)
      throw new StreamError(
        'bad-config',
        `${connection.location}: there is no table '${table}', and \`create\` is false: create it, see docs/stores.md`
      )
    if (described || made) await sleep(environment, pause)
    else {
      made = true
      // Somebody else may be faster.
      await connection.request('creating the table', 'CreateTable', tableDescription(table)).catch((error: unknown) => {
        if (nameOf((error as Error).cause) !== 'ResourceInUseException') throw error
      })
    }
  }
  await assertVersion(connection)
}

/** Between two looks at a table that is being made, ms. */
const pause = 200

async function describe(connection: DynamodbConnection): Promise<Described | undefined> {
  try {
    return (await connection.request('looking at the table', 'DescribeTable', { TableName: connection.table })).Table
  } catch (error) {
    if (nameOf((error as Error).cause) === 'ResourceNotFoundException') return undefined
    throw error
  }
}

function assertKeys({ location, table }: DynamodbConnection, described: Described): void {
  const types = new Map(described.AttributeDefinitions.map(each => [each.AttributeName, each.AttributeType]))
  const keys = described.KeySchema.map(each => `${each.AttributeName} ${each.KeyType} ${types.get(each.AttributeName)}`)
  if (keys.join() === 'pk HASH S,sk RANGE S') return
  throw new StreamError(
    'bad-config',
    `${location}: table '${table}' is none of ours: it must have the keys pk (partition, text) and sk (sort, text)`
  )
}

async function assertVersion(connection: DynamodbConnection): Promise<void> {
  const { Attributes } = await connection.request('reading the version of the table', 'UpdateItem', {
    TableName: connection.table,
    Key: keyOf(versionPlace),
    UpdateExpression: 'SET #version = if_not_exists(#version, :version)',
    ExpressionAttributeNames: { '#version': 'version' },
    ExpressionAttributeValues: { ':version': { N: String(version) } },
    ReturnValues: 'ALL_NEW'
  })
  const found = Number(Attributes.version.N)
  if (found > version)
    throw new StreamError(
      'corrupt',
      `${connection.location} was made by a newer release (version ${found}, this one reads ${version})`
    )
}
