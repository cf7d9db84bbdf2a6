import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type GuardedProcess, startGuarded } from '../support/guarded-process.ts'
import { type LocalServer, onFreePorts, startLocalServer } from '../support/local-server.ts'
import { freePorts, isFree } from '../support/ports.ts'

export interface KinesisServer extends LocalServer {
  /** `http://127.0.0.1:4568`, as AWS clients want it for their endpoint. It never changes. */
  readonly endpoint: string
}

export interface KinesisServerOptions {
  /** A free one when left out. */
  readonly port?: number | undefined
  /** Milliseconds that a start or restart may take; half a minute when left out. */
  readonly timeout?: number | undefined
  /** Data survives `restart`, not `kill`. Default false: it is slower the more there is. */
  readonly persist?: boolean | undefined
}

const HOST = '127.0.0.1'
/** Between two times that everything is written to the disk, ms. */
const PERSIST_INTERVAL = 400
const preload = fileURLToPath(new URL('./loopback.cjs', import.meta.url))

/**
 * Runs `kinesis-local` as a local process.
 * @throws StartError with the end of the log when it does not come up
 */
export async function runKinesis(options: KinesisServerOptions): Promise<KinesisServer> {
  const { port: wanted } = options
  if (wanted !== undefined && !(await isFree(wanted)))
    throw new Error(`port ${wanted} of ${HOST} is taken: choose another, or leave it out`)
  return onFreePorts(wanted !== undefined, () => runOnce(options))
}

async function runOnce({
  port: wanted,
  timeout = 30_000,
  persist = false
}: KinesisServerOptions): Promise<KinesisServer> {
  const [tlsPort, port = wanted!] = await freePorts(wanted === undefined ? 2 : 1, wanted)
  const directory = await mkdtemp(join(tmpdir(), 'tidemark-kinesis-'))
  const logFile = join(directory, 'server.log')
  const main = createRequire(import.meta.url).resolve('kinesis-local')
  const order = {
    command: process.execPath,
    args: ['--require', preload, main],
    environment: {
      ...settings,
      KINESIS_MOCK_PLAIN_PORT: String(port),
      KINESIS_MOCK_TLS_PORT: String(tlsPort),
      KINESIS_MOCK_CERT_PATH: join(dirname(main), 'server.json'),
      SHOULD_PERSIST_DATA: String(persist),
      PERSIST_PATH: directory,
      PERSIST_FILE_NAME: 'data.json',
      PERSIST_INTERVAL: `${PERSIST_INTERVAL}ms`
    },
    logFile,
    ready: 'listening on',
    removeWhenOrphaned: [directory]
  }
  const start = (): Promise<GuardedProcess> => startGuarded(order, timeout)
  const endpoint = `http://${HOST}:${port}`
  const url = `kinesis://us-east-1?endpoint=${endpoint}`
  try {
    // It takes no notice of SIGTERM.
    const server = await startLocalServer({ title: 'Kinesis', url, directory, logFile, stopTimeout: 1, start })
    const { restart } = server
    return Object.assign(server, {
      endpoint,
      restart: async () => {
        if (persist && server.pid !== undefined) await stopWhenWritten(server.pid, join(directory, 'data.json'))
        await restart()
      }
    })
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
}

/** What a stream waits for on AWS, tens of seconds, it does not wait for here. */
const settings = {
  CREATE_STREAM_DURATION: '5ms',
  DELETE_STREAM_DURATION: '5ms',
  SPLIT_SHARD_DURATION: '5ms',
  MERGE_SHARDS_DURATION: '5ms',
  UPDATE_SHARD_COUNT_DURATION: '5ms',
  REGISTER_STREAM_CONSUMER_DURATION: '5ms',
  DEREGISTER_STREAM_CONSUMER_DURATION: '5ms',
  // Counted over all streams.
  SHARD_LIMIT: '5000',
  ON_DEMAND_STREAM_COUNT_LIMIT: '100',
  AWS_REGION: 'us-east-1',
  LOG_LEVEL: 'ERROR'
}

/**
 * Halts the server at a time when what is on the disk is whole, and holds all that it has acknowledged. It writes over the
 * file in place: killed in the middle of that it does not come up again.
 */
async function stopWhenWritten(pid: number, file: string): Promise<void> {
  await writtenTwice(file)
  const signal = AbortSignal.timeout(30_000)
  for (;;) {
    process.kill(pid, 'SIGSTOP')
    if (await isWhole(file)) return
    process.kill(pid, 'SIGCONT')
    await sleep(5, undefined, { signal })
  }
}

async function isWhole(file: string): Promise<boolean> {
  try {
    JSON.parse(await readFile(file, 'utf8'))
    return true
  } catch {
    return false
  }
}

/** The first write may have begun before the last record came. */
async function writtenTwice(file: string): Promise<void> {
  const changed = async (): Promise<number> => (await stat(file).catch(() => undefined))?.mtimeMs ?? 0
  const signal = AbortSignal.timeout(30_000)
  for (let times = 0, last = await changed(); times < 2;) {
    await sleep(20, undefined, { signal })
    const now = await changed()
    // A large file is written in pieces.
    if (now === last || !(await isWhole(file))) continue
    times++
    last = now
  }
}
