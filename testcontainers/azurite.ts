/**
 * Azurite, Microsoft's stand-in for Azure Storage, for tests: its blob service on the loopback address, gone with its data
 * when the process that started it ends.
 *
 * ```ts
 * import { azuriteAvailable, startAzurite } from '../testcontainers/azurite.ts'
 *
 * const reason = await azuriteAvailable()      // undefined, or the sentence that says what is missing
 * await using storage = await startAzurite()
 * storage.connectionString                     // of its one account
 * storage.require('@azure/eventhubs-checkpointstore-blob')  // what was installed beside it
 * ```
 *
 * It is installed with npm into the cache (`support/cache.ts`), once, with Microsoft's own store of checkpoints: what
 * consumers of Event Hubs leave behind is read in tests as that store writes it.
 */
import { access, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cacheDirectory } from './support/cache.ts'
import { startGuarded, type GuardedProcess } from './support/guarded-process.ts'
import { type LocalServer, onFreePorts, startLocalServer } from './support/local-server.ts'
import { withLock } from './support/lock.ts'
import { freePorts } from './support/ports.ts'
import { CommandError, run } from './support/run.ts'

export interface AzuriteServer extends LocalServer {
  /** Of the account `devstoreaccount1`, whose key is no secret. */
  readonly connectionString: string
  /** Loads a package that was installed beside it. */
  require(name: string): any
}

/** Newer versions of Azurite bring packages that not every registry has. */
const PACKAGES = [
  'azurite@3.35.0',
  '@azure/eventhubs-checkpointstore-blob@2.0.0',
  '@azure/storage-blob@12.32.0'
] as const
const HOST = '127.0.0.1'
const ACCOUNT = 'devstoreaccount1'
/** The well-known key of the account: https://learn.microsoft.com/azure/storage/common/storage-use-azurite */
const KEY = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='

/** Says in one sentence why no Azurite can be started on this machine; undefined when one can. */
export async function azuriteAvailable(): Promise<string | undefined> {
  try {
    await installed()
    return undefined
  } catch (error) {
    return `Azurite cannot be installed: ${error instanceof Error ? error.message.split('\n').at(-1) : String(error)}`
  }
}

/** @throws Error with the end of the server's log when it does not come up */
export async function startAzurite(): Promise<AzuriteServer> {
  const home = await installed()
  return onFreePorts(false, () => startOnce(home))
}

async function startOnce(home: string): Promise<AzuriteServer> {
  const port = (await freePorts(1))[0]!
  const directory = await mkdtemp(join(tmpdir(), 'tidemark-azurite-'))
  const logFile = join(directory, 'server.log')
  const blob = ['--blobHost', HOST, '--blobPort', String(port), '--location', directory]
  const start = (): Promise<GuardedProcess> =>
    startGuarded(
      {
        command: process.execPath,
        args: [
          join(home, 'node_modules/azurite/dist/src/blob/main.js'),
          ...blob,
          '--skipApiVersionCheck',
          '--disableTelemetry'
        ],
        environment: {},
        logFile,
        ready: 'successfully listen',
        removeWhenOrphaned: [directory]
      },
      60_000
    )
  const endpoint = `http://${HOST}:${port}/${ACCOUNT}`
  try {
    const server = await startLocalServer({
      title: 'Azurite',
      url: endpoint,
      directory,
      logFile,
      stopTimeout: 5_000,
      start
    })
    return Object.assign(server, {
      connectionString: `DefaultEndpointsProtocol=http;AccountName=${ACCOUNT};AccountKey=${KEY};BlobEndpoint=${endpoint};`,
      require: createRequire(join(home, 'package.json')) as (name: string) => any
    })
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
}

/** The folder in the cache with the packages; made once. */
async function installed(): Promise<string> {
  const root = cacheDirectory()
  const home = join(root, PACKAGES[0].replace('@', '-'))
  const complete = join(home, 'complete')
  const wanted = PACKAGES.join('\n')
  await mkdir(root, { recursive: true })
  return withLock(`${home}.lock`, async () => {
    const there = await access(complete).then(
      () => true,
      () => false
    )
    if (there) return home
    await rm(home, { recursive: true, force: true })
    await mkdir(home, { recursive: true })
    await writeFile(join(home, 'package.json'), '{ "private": true }')
    console.error(`testcontainers: installing ${PACKAGES[0]} with npm, once`)
    try {
      const quiet = ['--no-audit', '--no-fund', '--ignore-scripts', '--no-save', '--loglevel=error']
      await run('npm', ['install', ...quiet, ...PACKAGES], { directory: home, timeout: 300_000 })
    } catch (error) {
      await rm(home, { recursive: true, force: true })
      throw error instanceof CommandError && error.missing ? new Error('npm was not found') : error
    }
    await writeFile(complete, wanted)
    return home
  })
}
