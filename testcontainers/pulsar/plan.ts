import { createHmac, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SecureListener, ServerUser } from '../server.ts'
import { makeCertificates } from '../support/certificates.ts'
import { freePorts, isFree } from '../support/ports.ts'
import { LOG4J_PROPERTIES } from './configuration.ts'

/** How to start a server. */
export interface PulsarOptions {
  /** Port of the web service without encryption; a free one when left out. The other ports are always free ones. */
  readonly port?: number | undefined
  /** Java heap, such as `384m` (the default). */
  readonly heap?: string | undefined
  /** Let Java optimise as it does in production: starts half as fast, then runs faster. For benchmarks. */
  readonly optimised?: boolean | undefined
  /** Ask everybody for a token: those of `tls.users`. */
  readonly authentication?: boolean | undefined
  /** Broker settings that are added or replaced, by their names in `standalone.conf`. */
  readonly properties?: Readonly<Record<string, string>> | undefined
  /** Milliseconds that a start or restart may take, downloads not counted; two minutes when left out. */
  readonly timeout?: number | undefined
  /** Where to run it; a container when a Docker daemon answers, else a local process. */
  readonly runtime?: 'docker' | 'process' | undefined
}

/** Everything that one server is given before it starts. It keeps it for life. */
export interface PulsarPlan {
  /** Temporary folder of this server alone. */
  readonly directory: string
  readonly url: string
  readonly webPort: number
  readonly brokerPort: number
  readonly tls: SecureListener
  /** Private key and certificate of the server, PEM. */
  readonly keyPath: string
  readonly certificatePath: string
  /** What tokens are signed with, base64; undefined when nobody is asked for one. */
  readonly secret: string | undefined
  /** Token of the user who may do everything. */
  readonly adminToken: string | undefined
  readonly heap: string
  readonly optimised: boolean
  readonly properties: Readonly<Record<string, string>>
  readonly timeout: number
}

/** Chooses ports, and makes a folder with certificates and log settings in it. The caller removes the folder. */
export async function makePlan(options: PulsarOptions): Promise<PulsarPlan> {
  const host = '127.0.0.1'
  if (options.port !== undefined && !(await isFree(options.port))) {
    throw new Error(`port ${options.port} of ${host} is taken: choose another, or leave it out`)
  }
  const directory = await mkdtemp(join(tmpdir(), 'tidemark-pulsar-'))
  try {
    const [free = 0, brokerPort = 0, port = 0] = await freePorts(3, options.port)
    const { ca, caPath } = await makeCertificates(directory)
    await writeFile(join(directory, 'log4j2.properties'), LOG4J_PROPERTIES)
    const webPort = options.port ?? free
    const secret = options.authentication ? randomBytes(32) : undefined
    const users = secret ? ['admin', 'guest'].map(name => tokenUser(name, secret)) : []
    return {
      directory,
      url: `pulsar://${host}:${webPort}`,
      webPort,
      brokerPort,
      tls: { host, port, address: `${host}:${port}`, ca, caPath, users },
      keyPath: join(directory, 'server.key'),
      certificatePath: join(directory, 'server.crt'),
      secret: secret?.toString('base64'),
      adminToken: users[0]?.password,
      heap: options.heap ?? '384m',
      optimised: options.optimised ?? false,
      properties: options.properties ?? {},
      timeout: options.timeout ?? 120_000
    }
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
}

/** A user with a JSON Web Token (HS256) as password. `admin` may do everything, `guest` nothing. */
function tokenUser(username: string, secret: Buffer): ServerUser {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const content = `${part({ alg: 'HS256' })}.${part({ sub: username })}`
  const signature = createHmac('sha256', secret).update(content).digest('base64url')
  return { username, password: `${content}.${signature}`, mechanisms: ['TOKEN'] }
}
