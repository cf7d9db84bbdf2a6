import { execFileSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { Kafka, logLevel, type Admin, type KafkaConfig } from 'kafkajs'
import type { SecureListener, Server, ServerUser } from '../../testcontainers/server.ts'

const QUIET = { logLevel: logLevel.NOTHING, retry: { retries: 8, initialRetryTime: 50, maxRetryTime: 1_000 } }

/** Runs `work` with a connected admin client of the listener without encryption. */
export function withAdmin<Result>(server: Server, work: (admin: Admin) => Promise<Result>): Promise<Result> {
  return connected({ brokers: [new URL(server.url).host] }, work)
}

/** Lists the topics through TLS as the given user, which proves that both were accepted. */
export function topicsAs(
  { username, password }: ServerUser,
  mechanism: string,
  tls: SecureListener
): Promise<string[]> {
  const sasl = { mechanism: mechanism.toLowerCase(), username, password } as NonNullable<KafkaConfig['sasl']>
  const config = { brokers: [tls.address], ssl: { ca: [tls.ca] }, sasl }
  return connected(config, admin => admin.listTopics())
}

async function connected<Result>(config: KafkaConfig, work: (admin: Admin) => Promise<Result>): Promise<Result> {
  const admin = new Kafka({ ...QUIET, ...config }).admin()
  try {
    await admin.connect()
    return await work(admin)
  } finally {
    await admin.disconnect()
  }
}

/** Says whether a process runs. One that ended, but was not yet collected by its parent, does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    if (process.platform === 'win32') return true
    return !execFileSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).startsWith('Z')
  } catch {
    return false
  }
}

/** Reads the first line that a process writes. Rejects when it ends without one. */
export async function firstLine(child: ChildProcess): Promise<string> {
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  const ended = once(child, 'exit').then(([code]) => code as number | null)
  while (!text.includes('\n')) {
    const outcome = await Promise.race([once(child.stdout!, 'data'), ended])
    if (!Array.isArray(outcome)) throw new Error(`ended with status ${outcome} before it wrote a line`)
  }
  return text.slice(0, text.indexOf('\n'))
}
