/**
 * Amazon Kinesis for tests and experiments, on the loopback address, gone when the process that started it ends.
 *
 * ```ts
 * import { startKinesis } from '../testcontainers/kinesis.ts'
 *
 * await using server = await startKinesis()   // stops it at the end of the block; or call stop()
 * server.url                                  // kinesis://us-east-1?endpoint=http://127.0.0.1:20123
 * server.endpoint                             // for AWS clients, with any keys
 * ```
 *
 * It is `kinesis-local`, a package of npm: shards, resharding, iterators and registered consumers as on AWS. What it has not:
 * limits of throughput, expired iterators within a test, permissions, the end of a subscription when its shard is split.
 *
 * In a test file prefer the server that the whole run shares: `inject('kinesis')`. From a shell: `npm run up -- kinesis`.
 */
import { createRequire } from 'node:module'
import { type KinesisServer, type KinesisServerOptions, runKinesis } from './kinesis/process.ts'

export type { KinesisServer, KinesisServerOptions } from './kinesis/process.ts'

/** Says in one sentence why no Kinesis can be started on this machine; undefined when one can. */
export async function kinesisAvailable(): Promise<string | undefined> {
  try {
    createRequire(import.meta.url).resolve('kinesis-local')
    return undefined
  } catch {
    return 'Kinesis cannot be started: the package kinesis-local is not installed (npm install)'
  }
}

/**
 * Starts a server of its own for the caller. It resolves when clients can connect.
 * @throws Error saying what is missing, or with the end of the server's log when it does not come up
 */
export async function startKinesis(options: KinesisServerOptions = {}): Promise<KinesisServer> {
  const reason = await kinesisAvailable()
  if (reason) throw new Error(reason)
  return runKinesis(options)
}
