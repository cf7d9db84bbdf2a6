import { kafka, kafkaCapabilities } from '../../../src/adapters/kafka/index.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import type { AnyAdapter } from '../../../src/spec/index.ts'
import type { Harness } from '../../../src/testing/conformance/index.ts'
import { startKafka } from '../../../testcontainers/kafka.ts'

/** A server of its own: the cases restart it. */
export async function kafkaHarness(): Promise<Harness> {
  const server = await startKafka()
  const open = async (broker: string): Promise<AnyAdapter> => {
    const adapter = kafka({ brokers: [broker], requestTimeout: 10_000 })
    await adapter.open(systemEnvironment)
    return adapter
  }
  return {
    backend: 'kafka',
    capabilities: kafkaCapabilities,
    sessionTimeout: 6_000,
    start: () => open(server.url.slice('kafka://'.length)),
    restart: async () => {
      await server.kill()
      await server.restart()
    },
    unreachable: () => open('127.0.0.1:1'),
    stop: () => server.stop()
  }
}
