/** How the conformance suite reaches each backend: used by the adapters' tests and by `scripts/matrix.ts`. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memory, MemoryBroker, memoryCapabilities } from '../../src/adapters/memory/index.ts'
import { systemEnvironment } from '../../src/core/environment.ts'
import type { AnyAdapter } from '../../src/spec/index.ts'
import { isLocked, type Harness } from '../../src/testing/conformance/index.ts'
import { workerAt } from './spawn-worker.ts'

async function opened(adapter: AnyAdapter): Promise<AnyAdapter> {
  await adapter.open(systemEnvironment)
  return adapter
}

/** One broker for all adapters of the harness. */
export function memoryHarness(): Harness {
  const broker = new MemoryBroker()
  return {
    backend: 'memory',
    capabilities: memoryCapabilities,
    sessionTimeout: 500,
    start: () => opened(memory({ broker })),
    async stop() {}
  }
}

/** A directory of its own, shared by all adapters of the harness as by several processes. */
export async function fileHarness(): Promise<Harness> {
  const { file, fileCapabilities } = await import('../../src/adapters/file/index.ts')
  const path = await mkdtemp(join(tmpdir(), 'tidemark-conformance-'))
  return {
    backend: 'file',
    capabilities: fileCapabilities,
    sessionTimeout: 2000,
    start: () => opened(file({ path })),
    spawnWorker: workerAt(`file:${path}`),
    isLocked: () => isLocked(join(path, 'log.db')),
    stop: () => rm(path, { recursive: true, force: true })
  }
}

/** What of a server a harness needs; `restart` only for one that may be disturbed. */
export interface HarnessServer {
  readonly url: string
  kill?(): Promise<void>
  restart?(): Promise<void>
  stop(): Promise<void>
}

export async function kafkaHarness(server: HarnessServer): Promise<Harness> {
  const { fromUrl, kafka, kafkaCapabilities } = await import('../../src/adapters/kafka/index.ts')
  return {
    backend: 'kafka',
    capabilities: kafkaCapabilities,
    // The broker's `group.min.session.timeout.ms`.
    sessionTimeout: 6000,
    start: () => opened(kafka(fromUrl(server.url))),
    spawnWorker: workerAt(server.url),
    unreachable: async () => opened(kafka({ brokers: [`127.0.0.1:${await unusedPort()}`] })),
    ...restartOf(server),
    stop: () => server.stop()
  }
}

export async function pulsarHarness(server: HarnessServer): Promise<Harness> {
  const { fromUrl, pulsar, pulsarCapabilities } = await import('../../src/adapters/pulsar/index.ts')
  return {
    backend: 'pulsar',
    capabilities: pulsarCapabilities,
    sessionTimeout: 2000,
    start: () => opened(pulsar(fromUrl(server.url))),
    spawnWorker: workerAt(server.url),
    unreachable: async () => opened(pulsar({ webUrl: `http://127.0.0.1:${await unusedPort()}` })),
    ...restartOf(server),
    stop: () => server.stop()
  }
}

/** Its data is in its memory: a restart would begin with nothing, so there is none. */
export async function pubsubHarness(server: Pick<HarnessServer, 'url' | 'stop'>): Promise<Harness> {
  const { fromUrl, pubsub, pubsubCapabilities } = await import('../../src/adapters/pubsub/index.ts')
  // What a killed worker had in its hands comes again after this.
  const ackDeadline = 10_000
  return {
    backend: 'pubsub',
    capabilities: pubsubCapabilities,
    sessionTimeout: 2000,
    pace: 2,
    start: () => opened(pubsub({ ...fromUrl(server.url), ackDeadline })),
    spawnWorker: workerAt(`${server.url}&ackDeadline=${ackDeadline}`),
    unreachable: async () => opened(pubsub({ projectId: 'nowhere', emulator: `127.0.0.1:${await unusedPort()}` })),
    stop: () => server.stop()
  }
}

export async function eventhubsHarness(server: HarnessServer): Promise<Harness> {
  const { eventhubs, eventhubsCapabilities, fromUrl } = await import('../../src/adapters/eventhubs/index.ts')
  // A consumer group takes five readers of the vitals, and many cases run at once.
  const url = `${server.url}&consumerGroups=$Default,${Array.from({ length: 7 }, (_, index) => `readers-${index}`).join()}`
  return {
    backend: 'eventhubs',
    capabilities: eventhubsCapabilities,
    sessionTimeout: 2000,
    start: () => opened(eventhubs(fromUrl(url))),
    spawnWorker: workerAt(url),
    unreachable: async () => {
      const host = `127.0.0.1:${await unusedPort()}`
      return opened(eventhubs({ host, emulator: true, management: `http://${host}/subscriptions/0/namespaces/none` }))
    },
    ...restartOf(server),
    stop: () => server.stop()
  }
}

/** What was acknowledged survives a restart that was announced: a crash may cost the last half second. */
export async function kinesisHarness(server: HarnessServer): Promise<Harness> {
  const { fromUrl, kinesis, kinesisCapabilities } = await import('../../src/adapters/kinesis/index.ts')
  return {
    backend: 'kinesis',
    capabilities: kinesisCapabilities,
    sessionTimeout: 2000,
    pace: 2,
    start: () => opened(kinesis(fromUrl(server.url))),
    spawnWorker: workerAt(server.url),
    unreachable: async () => opened(kinesis({ endpoint: `http://127.0.0.1:${await unusedPort()}` })),
    restart: () => server.restart!(),
    stop: () => server.stop()
  }
}

function restartOf(server: HarnessServer): Pick<Harness, 'restart'> {
  if (!server.restart) return {}
  return {
    restart: async () => {
      await server.kill?.()
      await server.restart!()
    }
  }
}

/** A port on which nobody listens, as far as one can know. */
export async function unusedPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise(resolve => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port was given')
  return address.port
}
