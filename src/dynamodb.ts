import { systemEnvironment, type Environment } from './core/environment.ts'
import {
  DynamodbStore,
  tableDescription,
  workerPolicy,
  type ClientStore,
  type DynamodbClient,
  type DynamodbOptions
} from './exactly-once/index.ts'

export type { DynamodbClient, DynamodbOptions }

/**
 * Opens a commit store, for `connect({ store })`, with what a URL cannot say. Whoever opens it closes it, after the client.
 * Errors: `bad-config`, `peer-missing`, `unauthorized`, `connection`, `corrupt`.
 *
 * @example
 * const store = await dynamodbStore({ region: 'eu-central-1', table: 'streams', credentials: fromSSO() })
 */
export function dynamodbStore(
  options: DynamodbOptions,
  environment: Environment = systemEnvironment
): Promise<ClientStore> {
  return DynamodbStore.open(options, environment)
}

/** The table, as `CreateTable` takes it, for an administrator whose workers may not create it (`create: false`). */
export function dynamodbTable(table: string = 'tidemark'): Readonly<Record<string, unknown>> {
  return tableDescription(table)
}

/**
 * The least that a worker must be allowed, as a policy of IAM.
 *
 * @param tableArn `arn:aws:dynamodb:eu-central-1:123456789012:table/tidemark`
 */
export function dynamodbPolicy(
  tableArn: string,
  { create = false }: { readonly create?: boolean } = {}
): Readonly<Record<string, unknown>> {
  return workerPolicy(tableArn, create)
}
