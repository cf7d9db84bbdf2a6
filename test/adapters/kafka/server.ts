import { inject } from 'vitest'
import { kafka, type KafkaOptions } from '../../../src/adapters/kafka/index.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import type { SecureListener } from '../../../testcontainers/server.ts'

export { rejection as failure } from '../../support/failure.ts'
export * from '../../support/records.ts'

/** The Kafka that the whole run shares. */
const server = inject('kafka')

export const running: boolean = server.state === 'running'
/** For the title of what cannot run. */
export const notRun: string = server.state === 'running' ? '' : ` (not run: ${server.reason})`
export const tls: SecureListener | undefined = server.state === 'running' ? server.tls : undefined
export const broker: string = server.state === 'running' ? server.url.slice('kafka://'.length) : '127.0.0.1:1'

export type KafkaAdapter = ReturnType<typeof kafka>

export async function open(options: Partial<KafkaOptions> = {}): Promise<KafkaAdapter> {
  const adapter = kafka({ brokers: [broker], requestTimeout: 10_000, ...options })
  await adapter.open(systemEnvironment)
  return adapter
}
