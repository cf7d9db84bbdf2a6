import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SecureListener } from '../server.ts'
import { makeCertificates } from '../support/certificates.ts'
import { freePorts, isFree } from '../support/ports.ts'

/** How to start a server. */
export interface RegistryOptions {
  /** Port without encryption; a free one when left out. The port with TLS is always a free one. */
  readonly port?: number | undefined
  /** Java heap, such as `256m` (the default). */
  readonly heap?: string | undefined
  /** Milliseconds that a start or restart may take, downloads not counted; two minutes when left out. */
  readonly timeout?: number | undefined
}

/** Everything that one server is given before it starts. It keeps it for life. */
export interface RegistryPlan {
  /** Temporary folder of this server alone. */
  readonly directory: string
  /** Of the Confluent-compatible API. */
  readonly url: string
  readonly port: number
  readonly tls: SecureListener
  /** Private key and certificate of the server, PEM. */
  readonly keyPath: string
  readonly certificatePath: string
  readonly heap: string
  readonly timeout: number
}

const HOST = '127.0.0.1'

/** The path of the Confluent-compatible API. */
export const API = '/apis/ccompat/v7'

/** Chooses ports, and makes a folder with certificates in it. The caller removes the folder. */
export async function makePlan(options: RegistryOptions): Promise<RegistryPlan> {
  const { port: wanted, heap = '256m', timeout = 120_000 } = options
  if (wanted !== undefined && !(await isFree(wanted)))
    throw new Error(`port ${wanted} of ${HOST} is taken: choose another, or leave it out`)
  const directory = await mkdtemp(join(tmpdir(), 'tidemark-registry-'))
  try {
    const [tlsPort = 0, free = 0] = await freePorts(2, wanted)
    const port = wanted ?? free
    const { ca, caPath } = await makeCertificates(directory)
    return {
      directory,
      url: `http://${HOST}:${port}${API}`,
      port,
      tls: { host: HOST, port: tlsPort, address: `${HOST}:${tlsPort}`, ca, caPath, users: [] },
      keyPath: join(directory, 'server.key'),
      certificatePath: join(directory, 'server.crt'),
      heap,
      timeout
    }
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
}
