import { join } from 'node:path'
import { systemEnvironment, type Environment } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'
import { DynamodbStore, MemoryStore, PostgresStore, SqliteStore, type ClientStore } from '../exactly-once/index.ts'
import type { AnyAdapter } from '../spec/index.ts'

export type { ClientStore }

/**
 * Opens the store of a client. Default: beside the data of a `file:` broker, so that they live and die together; in memory
 * where every broker is; else in `./.tidemark/`. Errors: `bad-config`, `corrupt`; of a server also `peer-missing`,
 * `unauthorized`, `connection`.
 */
export async function openStore(
  given: string | ClientStore | undefined,
  brokers: ReadonlyMap<string, AnyAdapter>,
  environment: Environment = systemEnvironment
): Promise<ClientStore> {
  assertStore(given)
  if (typeof given === 'object') return given
  if (given === 'memory:') return new MemoryStore()
  if (given !== undefined && /^postgres(ql)?:/.test(given)) return PostgresStore.open({ url: given }, environment)
  if (given?.startsWith('dynamodb:')) return DynamodbStore.open({ url: given }, environment)
  const path = given === undefined ? defaultPath(brokers) : /^sqlite:(.+)$/.exec(given)?.[1]
  return path === null ? new MemoryStore() : SqliteStore.open(path!, environment)
}

/** Throws `bad-config` for what cannot be a store, before anything is opened. */
export function assertStore(given: string | ClientStore | undefined): void {
  if (typeof given !== 'string' || /^(?:memory:$|broker$|postgres(?:ql)?:|dynamodb:|sqlite:.)/.test(given)) return
  throw new StreamError(
    'bad-config',
    // It may be a URL with a password in it.
    `store '${given.replace(/\/\/.*$/s, '//…')}' is none: use 'postgres://<user>:<password>@<host>/<database>', 'dynamodb://<region>/<table>', 'sqlite:<file>', 'broker', 'memory:' or a store`
  )
}

function defaultPath(brokers: ReadonlyMap<string, AnyAdapter>): string | null {
  const all = [...brokers.values()]
  if (all.every(({ capabilities }) => capabilities.scope === 'process')) return null
  const embedded = all.find(({ name }) => name === 'file')
  return embedded ? join(embedded.location.replace(/^file:/, ''), 'commits.db') : join('.tidemark', 'commits.db')
}
