import { messageOf, StreamError } from '../../core/errors.ts'

/** A value as DynamoDB has it: text, a number in text, bytes. */
export interface Value {
  readonly S?: string
  readonly N?: string
  readonly B?: Uint8Array
}

export type Item = Readonly<Record<string, Value>>

/** An instance of `DynamoDBClient`. */
export interface DynamodbClient {
  send(command: unknown, options?: { readonly abortSignal?: AbortSignal }): Promise<any>
  destroy(): void
}

/** The requests that are made here, by the names of their commands without `Command`. */
export type RequestName =
  | 'BatchWriteItem'
  | 'CreateTable'
  | 'DescribeTable'
  | 'GetItem'
  | 'PutItem'
  | 'Query'
  | 'TransactWriteItems'
  | 'UpdateItem'

/** Of the package `@aws-sdk/client-dynamodb` 3.x, what is used here. */
export type DynamodbModule = { readonly DynamoDBClient: new (config: any) => DynamodbClient } & {
  readonly [Name in RequestName as `${Name}Command`]: new (input: never) => object
}

/** Rejects with `peer-missing`. */
export async function loadDynamodb(): Promise<DynamodbModule> {
  const install = 'npm install @aws-sdk/client-dynamodb@3'
  let loaded: Partial<DynamodbModule> & { readonly default?: Partial<DynamodbModule> }
  try {
    loaded = (await import('@aws-sdk/client-dynamodb')) as unknown as typeof loaded
  } catch (error) {
    throw new StreamError(
      'peer-missing',
      `a DynamoDB store needs the package '@aws-sdk/client-dynamodb': ${install} (${messageOf(error)})`,
      { cause: error }
    )
  }
  const module = loaded.DynamoDBClient ? loaded : loaded.default
  if (module?.DynamoDBClient) return module as DynamodbModule
  throw new StreamError('peer-missing', `the installed '@aws-sdk/client-dynamodb' has no DynamoDBClient: ${install}`)
}
