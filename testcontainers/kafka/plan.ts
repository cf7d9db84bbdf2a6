import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SecureListener } from '../server.ts'
import { makeCertificates } from '../support/certificates.ts'
import { freePorts, isFree } from '../support/ports.ts'
import { KAFKA_USERS, LOG4J_PROPERTIES } from './configuration.ts'

/** How to start a server. */
export interface KafkaOptions {
  /** Port of the listener without encryption; a free one when left out. The other ports are always free ones. */
  readonly port?: number | undefined
  /** Java heap, such as `384m` (the default). */
  readonly heap?: string | undefined
  /** Broker settings that are added or replaced, by their names in `server.properties`. */
  readonly properties?: Readonly<Record<string, string>> | undefined
  /** Milliseconds that a start or restart may take, downloads not counted; a minute when left out. */
  readonly timeout?: number | undefined
  /** Where to run it; a container when a Docker daemon answers, else a local process. */
  readonly runtime?: 'docker' | 'process' | undefined
}

/** Everything that one server is given before it starts. It keeps it for life. */
export interface KafkaPlan {
  readonly clusterId: string
  /** Temporary folder of this server alone. */
  readonly directory: string
  readonly url: string
  readonly plainPort: number
  readonly controllerPort: number
  readonly tls: SecureListener
  /** Key and certificates of the server, in one PEM file in {@link directory}. */
  readonly certificates: string
  readonly heap: string
  readonly properties: Readonly<Record<string, string>>
  readonly timeout: number
}

/** Chooses ports, and makes a folder with certificates and log settings in it. The caller removes the folder. */
export async function makePlan(options: KafkaOptions): Promise<KafkaPlan> {
  const host = '127.0.0.1'
  if (options.port !== undefined && !(await isFree(options.port))) {
    throw new Error(`port ${options.port} of ${host} is taken: choose another, or leave it out`)
  }
  const directory = await mkdtemp(join(tmpdir(), 'tidemark-kafka-'))
  try {
    const [free = 0, port = 0, controllerPort = 0] = await freePorts(3, options.port)
    const { ca, caPath, serverPath } = await makeCertificates(directory)
    await writeFile(join(directory, 'log4j2.properties'), LOG4J_PROPERTIES)
    const plainPort = options.port ?? free
    return {
      clusterId: newClusterId(),
      directory,
      url: `kafka://${host}:${plainPort}`,
      plainPort,
      controllerPort,
      tls: { host, port, address: `${host}:${port}`, ca, caPath, users: Object.values(KAFKA_USERS) },
      certificates: serverPath,
      heap: options.heap ?? '384m',
      properties: options.properties ?? {},
      timeout: options.timeout ?? 60_000
    }
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
}

/** A random UUID as Kafka writes one. One that starts with a dash would be taken for an option of the format tool. */
function newClusterId(): string {
  for (;;) {
    const id = randomBytes(16).toString('base64url')
    if (!id.startsWith('-')) return id
  }
}
