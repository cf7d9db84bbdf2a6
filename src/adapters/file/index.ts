import type { Environment } from '../../core/environment.ts'
import type { Adapter } from '../../spec/index.ts'
import { FileAdmin } from './admin.ts'
import { Appender } from './appender.ts'
import { fileCapabilities, type FileCapabilities } from './capabilities.ts'
import { FileConnection } from './client.ts'
import { Compactor } from './compaction.ts'
import { classify, closedError, fileError } from './errors.ts'
import { FileLogReader } from './log-reader.ts'
import { settingsOf, type FileOptions } from './options.ts'
import { FilePartitionReader } from './partition-reader.ts'
import { FileProducer } from './producer.ts'

export { fileCapabilities, type FileCapabilities } from './capabilities.ts'
export { fileOptions, fromUrl, type FileOptions } from './options.ts'

export type FileAdapter = Adapter<FileCapabilities, undefined>

interface Opened {
  readonly connection: FileConnection
  readonly compactor: Compactor
  readonly appender: Appender
}

/**
 * The embedded log: a folder on this host, no server. Durable, for several processes of one host at once. Throws
 * `bad-config`; `open` rejects with `bad-config`, `corrupt`, `unauthorized` or `timeout`.
 *
 * @example
 * await using client = await connect({ brokers: { default: file({ path: './data' }) } })
 */
export function file(options: FileOptions): FileAdapter {
  const settings = settingsOf(options)
  let opened: Opened | undefined
  let closing: Promise<void> | undefined
  const drivers = new Set<{ close(): Promise<void> }>()
  const ready = (): Opened => {
    if (closing) throw closedError('file adapter')
    if (!opened) throw fileError('internal', 'the file adapter was used before open()')
    return opened
  }
  /** The adapter closes what is still open, and forgets what has been closed. */
  const keep = <Driver extends { close(): Promise<void> }>(driver: Driver): Driver => {
    const close = driver.close.bind(driver)
    driver.close = () => {
      drivers.delete(driver)
      return close()
    }
    drivers.add(driver)
    return driver
  }
  const close = async (): Promise<void> => {
    await Promise.all([...drivers].map(driver => driver.close()))
    await opened?.compactor.close()
    opened?.connection.close()
  }
  return {
    specification: 'v1',
    name: 'file',
    location: `file:${settings.path}`,
    capabilities: fileCapabilities,
    native: undefined,
    open: async (environment: Environment) => {
      if (closing) throw closedError('file adapter')
      const connection = await FileConnection.open(environment, settings)
      const compactor = new Compactor(connection)
      opened = { connection, compactor, appender: new Appender(connection, compactor) }
    },
    admin: () => new FileAdmin(ready().connection),
    producer: async () => keep(new FileProducer(ready().appender)),
    logReader: async reader => keep(await FileLogReader.open(ready().connection, reader)),
    partitionReader: async reader => keep(new FilePartitionReader(ready().connection, reader)),
    comparePositions: (left, right) => Number(left) - Number(right),
    classify,
    close: () => (closing ??= close())
  }
}
