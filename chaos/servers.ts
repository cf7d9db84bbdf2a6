import { rm, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts } from '../testcontainers/support/ports.ts'
import { TcpProxy } from '../test/support/tcp-proxy.ts'

/** A broker or a store of one run, behind a network that can be disturbed. */
export interface Target extends AsyncDisposable {
  /** For the workers, by the proxy. */
  readonly url: string
  /** For who counts: not disturbed. */
  readonly direct: string
  readonly proxy: TcpProxy | undefined
  /** A crash, and a start on the same data; `undefined` where there is no server, or one that forgets. */
  readonly crash: (() => Promise<void>) | undefined
  /** A crash; what it gives starts the server again, on the same data. */
  readonly outage?: () => Promise<() => Promise<void>>
}

interface Started {
  readonly url: string
  kill?(): Promise<void>
  restart?(): Promise<void>
  stop(): Promise<void>
}

/** The first address in it is that of the server. */
const address = /127\.0\.0\.1:(\d+)/

async function behindProxy(
  server: Started,
  crash: ((proxy: TcpProxy) => Promise<void>) | undefined,
  more = '',
  outage?: Target['outage']
): Promise<Target> {
  const proxy = await TcpProxy.start(Number(address.exec(server.url)![1]))
  const direct = `${server.url}${more}`
  return {
    url: direct.replace(address, `127.0.0.1:${proxy.port}`),
    direct,
    proxy,
    crash: crash && (() => crash(proxy)),
    ...(outage && { outage }),
    async [Symbol.asyncDispose]() {
      await proxy.close()
      await server.stop()
    }
  }
}

const crashOf =
  (server: Required<Started>): (() => Promise<void>) =>
  async () => {
    await server.kill()
    await server.restart()
  }

const outageOf =
  (server: Required<Started>): NonNullable<Target['outage']> =>
  async () => {
    await server.kill()
    return () => server.restart()
  }

async function inFolder(url: (folder: string) => string): Promise<Target> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-chaos-data-'))
  return {
    url: url(folder),
    direct: url(folder),
    proxy: undefined,
    crash: undefined,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true })
  }
}

/** @param crashes whether it will be told to; where that costs something, it is saved otherwise */
export type StartBroker = (crashes?: boolean) => Promise<Target>

export const brokers: Readonly<Record<string, StartBroker>> = {
  file: () => inFolder(folder => `file:${folder}`),
  async kafka() {
    const { startKafka } = await import('../testcontainers/kafka.ts')
    // Clients go where the broker says that it is: it must name the proxy.
    const [port] = await freePorts(1)
    const proxy = await TcpProxy.start(port!)
    const advertised = { 'advertised.listeners': `PLAINTEXT://127.0.0.1:${proxy.port}` }
    const server = await startKafka({ port: port!, properties: advertised })
    const url = `kafka://127.0.0.1:${proxy.port}`
    return {
      url,
      direct: url,
      proxy,
      crash: crashOf(server),
      outage: outageOf(server),
      async [Symbol.asyncDispose]() {
        await proxy.close()
        await server.stop()
      }
    }
  },
  async pulsar() {
    const { startPulsar } = await import('../testcontainers/pulsar.ts')
    const server = await startPulsar()
    return behindProxy(server, crashOf(server), '', outageOf(server))
  },
  async pubsub() {
    const { startPubsub } = await import('../testcontainers/pubsub.ts')
    // Its data is in its memory: a restart would begin with nothing, so there is none.
    return behindProxy(await startPubsub(), undefined, '&ackDeadline=10000')
  },
  async kinesis(crashes = true) {
    const { startKinesis } = await import('../testcontainers/kinesis.ts')
    // It writes all that it has again and again: the more there is, the slower it gets.
    const server = await startKinesis({ persist: crashes })
    // What was acknowledged survives a restart that was announced, and nothing is while the network is down: a crash would
    // cost the last half second.
    return behindProxy(server, crashes ? proxy => proxy.cutDuring(() => server.restart()) : undefined)
  },
  async eventhubs() {
    const { startEventhubs } = await import('../testcontainers/eventhubs.ts')
    const server = await startEventhubs()
    // A consumer group takes five readers of the vitals.
    const groups = Array.from({ length: 7 }, (_, index) => `readers-${index}`).join()
    return behindProxy(server, crashOf(server), `&consumerGroups=$Default,${groups}`, outageOf(server))
  }
}

export const stores: Readonly<Record<string, () => Promise<Target>>> = {
  sqlite: () => inFolder(folder => `sqlite:${folder}/commits.db`),
  async postgres() {
    const { startPostgres } = await import('../testcontainers/postgres.ts')
    const server = await startPostgres()
    return behindProxy(server, crashOf(server))
  },
  async dynamodb() {
    const { startDynamodb } = await import('../testcontainers/dynamodb.ts')
    const server = await startDynamodb()
    return behindProxy(server, crashOf(server))
  },
  /** Transactions of the broker itself. */
  broker: async () => ({
    url: 'broker',
    direct: 'broker',
    proxy: undefined,
    crash: undefined,
    async [Symbol.asyncDispose]() {}
  })
}
