import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeCertificates } from '../support/certificates.ts'
import { type LocalServer, onFreePorts, startLocalServer } from '../support/local-server.ts'
import { freePorts, isFree } from '../support/ports.ts'
import { startGuarded, type GuardedProcess } from '../support/guarded-process.ts'
import type { DoubleOptions } from './double/state.ts'
import { policies } from './double/tokens.ts'

export interface EventhubsServerOptions {
  /** Of AMQP. A free one when left out. */
  readonly port?: number | undefined
  /** Milliseconds that a start or restart may take; 30 seconds when left out. */
  readonly timeout?: number | undefined
  /** Bytes of the largest publication. Default 1 MiB, as in every tier but Basic. */
  readonly maxMessageSize?: number | undefined
  /** Readers without an owner level of one partition in one consumer group. Default 5, as in the service. */
  readonly maxReceivers?: number | undefined
  /** AMQP over WebSockets as well, with a certificate of its own. Needs `openssl`. */
  readonly webSocket?: boolean | undefined
}

export interface EventhubsServer extends LocalServer {
  /** `host:port` of AMQP. It never changes. */
  readonly address: string
  /** For vendor clients, with all rights. */
  readonly connectionString: string
  /** Where hubs are created: the part of Azure's management API that the double has. */
  readonly management: string
  /** Where WebSockets are spoken, and the certificate to trust; undefined unless asked for. */
  readonly webSocket: { readonly address: string; readonly ca: string } | undefined
  /** The same with the rights of a policy: `sender`, `listener`. */
  connectionStringOf(policy: string): string
  /** Does something on purpose: see `eventhubs/double/control.ts`. */
  control(action: string, body?: object): Promise<void>
}

const HOST = '127.0.0.1'
const STOP_TIMEOUT = 5_000
const main = fileURLToPath(new URL('./double/main.ts', import.meta.url))
const namespace = '/subscriptions/0/resourceGroups/tests/providers/Microsoft.EventHub/namespaces/double'

/** @throws StartError with the end of the log when it does not come up */
export async function startDouble(options: EventhubsServerOptions): Promise<EventhubsServer> {
  const { port: wanted } = options
  if (wanted !== undefined && !(await isFree(wanted)))
    throw new Error(`port ${wanted} of ${HOST} is taken: choose another, or leave it out`)
  return onFreePorts(wanted !== undefined, () => startOnce(options))
}

async function startOnce(options: EventhubsServerOptions): Promise<EventhubsServer> {
  const { timeout = 30_000, maxMessageSize = 1_048_576, maxReceivers = 5 } = options
  const [first, managementPort, webSocketPort] = (await freePorts(3, options.port)) as [number, number, number]
  const port = options.port ?? first
  const directory = await mkdtemp(join(tmpdir(), 'tidemark-eventhubs-'))
  const certificates = options.webSocket ? await makeCertificates(directory) : undefined
  const order: DoubleOptions = {
    port,
    managementPort,
    file: join(directory, 'events.db'),
    maxMessageSize,
    maxReceivers,
    webSocket: certificates && { port: webSocketPort, pem: certificates.serverPath }
  }
  const logFile = join(directory, 'server.log')
  const start = (): Promise<GuardedProcess> =>
    startGuarded(
      {
        command: process.execPath,
        args: ['--disable-warning=ExperimentalWarning', main, JSON.stringify(order)],
        environment: {},
        logFile,
        ready: 'listening on',
        removeWhenOrphaned: [directory]
      },
      timeout
    )
  const address = `${HOST}:${port}`
  const door = `http://${HOST}:${managementPort}`
  const management = `${door}${namespace}`
  const url = `eventhubs://${address}?emulator=true&management=${encodeURIComponent(management)}`
  try {
    const server = await startLocalServer({
      title: 'Event Hubs double',
      url,
      directory,
      logFile,
      stopTimeout: STOP_TIMEOUT,
      start
    })
    const connectionStringOf = (policy: string): string =>
      `Endpoint=sb://${address};SharedAccessKeyName=${policy};SharedAccessKey=${policies[policy]!.key};UseDevelopmentEmulator=true`
    return Object.assign(server, {
      address,
      management,
      connectionString: connectionStringOf('RootManageSharedAccessKey'),
      connectionStringOf,
      webSocket: certificates && { address: `${HOST}:${webSocketPort}`, ca: certificates.ca },
      async control(action: string, body: object = {}) {
        const answer = await fetch(`${door}/control/${action}`, { method: 'POST', body: JSON.stringify(body) })
        if (!answer.ok) throw new Error(`${action}: ${answer.status} ${await answer.text()}`)
        await answer.arrayBuffer()
      }
    })
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
}
