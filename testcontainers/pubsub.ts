/**
 * Google Cloud Pub/Sub for tests and experiments, on the loopback address, gone when the process that started it ends.
 *
 * ```ts
 * import { pubsubAvailable, startPubsub } from '../testcontainers/pubsub.ts'
 *
 * const reason = await pubsubAvailable()       // undefined, or the sentence that says what is missing
 * await using server = await startPubsub()     // stops it at the end of the block; or call stop()
 * server.url                                   // pubsub://tidemark-test?emulator=127.0.0.1:20123
 * server.address                               // 127.0.0.1:20123, for PUBSUB_EMULATOR_HOST
 * await server.restart()                       // same port; its data was in its memory
 * ```
 *
 * It is Google's own fake (`pstest`, in Go) behind a small server of ours (`pubsub/fake/`, which says what was added), built
 * once with Go. `startPubsub({ faults: { redeliver: 0.3, expire: 0.1 } })` makes it misbehave within what Pub/Sub allows.
 * A topic whose name ends in `-permission-denied`, `-unauthenticated`, `-resource-exhausted` or `-unavailable` is refused so,
 * and whatever is in a project whose name ends in `-forbidden`.
 *
 * `startPubsubEmulator` runs Google's Java emulator where its Debian package is installed: it knows snapshots and seeks to
 * the past, but no filters, which partitions need. In a test file prefer the server that the whole run shares:
 * `inject('pubsub')`. From a shell: `npm run up -- pubsub`.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { buildFake, isBuilt } from './pubsub/build.ts'
import { type PubsubServer, type PubsubServerOptions, runPubsub } from './pubsub/process.ts'
import { CommandError, run } from './support/run.ts'
import { onFreePorts } from './support/local-server.ts'
import { javaCommand, missingJava } from './support/tools.ts'

export type { PubsubServer, PubsubServerOptions } from './pubsub/process.ts'

export interface PubsubOptions extends PubsubServerOptions {
  readonly faults?: PubsubFaults | undefined
}

/** How the fake misbehaves. Shares are between 0 and 1. */
export interface PubsubFaults {
  /** Messages that are delivered twice: some at once, with an acknowledgement id that is good for nothing, some later. */
  readonly redeliver?: number | undefined
  /** Acknowledgements that come too late: the message is delivered again. */
  readonly expire?: number | undefined
  readonly seed?: number | undefined
}

const EMULATOR = '/usr/lib/google-cloud-sdk/platform/pubsub-emulator/lib'
const EMULATOR_JAVA = 11

/** Says in one sentence why no Pub/Sub can be started on this machine; undefined when one can. */
export async function pubsubAvailable(): Promise<string | undefined> {
  if (await isBuilt()) return undefined
  const reason = await missingGo()
  return reason && `Google's Pub/Sub fake cannot be started: ${reason}`
}

/**
 * Starts a server of its own for the caller. It resolves when clients can connect.
 * @throws Error saying what is missing on this machine, or with the end of the server's log when it does not come up
 */
export async function startPubsub(options: PubsubOptions = {}): Promise<PubsubServer> {
  const reason = await pubsubAvailable()
  if (reason) throw new Error(reason)
  const { redeliver = 0, expire = 0, seed = 1 } = options.faults ?? {}
  const faults = ['-redeliver', String(redeliver), '-expire', String(expire), '-seed', String(seed)]
  const command = {
    title: 'Pub/Sub fake',
    command: await buildFake(),
    args: (host: string, port: number) => ['-address', `${host}:${port}`, ...faults],
    ready: 'listening on'
  }
  return onFreePorts(options.port !== undefined, () => runPubsub(command, options))
}

/** Says in one sentence why Google's Java emulator cannot be started on this machine; undefined when it can. */
export async function pubsubEmulatorAvailable(): Promise<string | undefined> {
  if ((await emulatorJar()) === undefined)
    return 'the Pub/Sub emulator cannot be started: the Debian package google-cloud-cli-pubsub-emulator is not installed'
  const reason = await missingJava(EMULATOR_JAVA)
  return reason && `the Pub/Sub emulator cannot be started: ${reason}`
}

/** @throws Error saying what is missing on this machine, or with the end of the server's log when it does not come up */
export async function startPubsubEmulator(options: PubsubServerOptions = {}): Promise<PubsubServer> {
  const reason = await pubsubEmulatorAvailable()
  if (reason) throw new Error(reason)
  const jar = (await emulatorJar())!
  const command = {
    title: 'Pub/Sub emulator',
    command: javaCommand(),
    args: (host: string, port: number) => ['-Xmx512m', '-jar', jar, `--host=${host}`, `--port=${port}`],
    ready: 'Server started, listening'
  }
  return onFreePorts(options.port !== undefined, () => runPubsub(command, options))
}

async function emulatorJar(): Promise<string | undefined> {
  const names = await readdir(EMULATOR).catch(() => [])
  const name = names.find(each => /^cloud-pubsub-emulator-.*-all\.jar$/.test(each))
  return name && join(EMULATOR, name)
}

/** Says in half a sentence what is wrong with Go. */
async function missingGo(): Promise<string | undefined> {
  const need = 'Go 1.26 or later is needed to build it'
  try {
    const { stdout } = await run('go', ['version'])
    const [, major, minor] = /go(\d+)\.(\d+)/.exec(stdout) ?? []
    if (Number(major) > 1 || Number(minor) >= 26) return undefined
    return `${need}, but this is ${stdout.trim()}`
  } catch (error) {
    return `${need}, but ${error instanceof CommandError && error.missing ? 'go was not found' : String(error)}`
  }
}
