import { resolve } from 'node:path'
import type { Environment } from '../../core/environment.ts'
import { readOptions } from '../../core/options.ts'
import type { Adapter } from '../../spec/index.ts'
import { FileAdmin } from './admin.ts'
import { fileCapabilities, type FileCapabilities } from './capabilities.ts'
import { FileConnection } from './client.ts'
import { classify, closedError, fileError } from './errors.ts'
import { FileLogReader } from './log-reader.ts'
import { fileOptions, type FileOptions } from './options.ts'
import { FilePartitionReader } from './partition-reader.ts'
import { FileProducer } from './producer.ts'

export { fileCapabilities, type FileCapabilities } from './capabilities.ts'
export { fileOptions, fromUrl, type FileOptions } from './options.ts'

export type FileAdapter = Adapter<FileCapabilities, undefined>

/**
 * The embedded log: a folder on this host, no server. Durable, for several processes of one host at once.
 *
 * @example
 * await using client = await connect({ brokers: { default: file({ path: './data' }) } })
 */
export function file(options: FileOptions): FileAdapter {
  const checked = readOptions('file', fileOptions, options) as unknown as FileOptions
  if (!checked.path) throw fileError('bad-config', "file: option 'path' names the folder of the log")
  const path = resolve(checked.path)
  let connection: FileConnection | undefined
  let closed = false
  const ready = (): FileConnection => {
    if (closed) throw closedError('adapter')
    if (!connection) throw fileError('internal', 'the file adapter was used before open()')
    return connection
  }
  const open = new Set<{ close(): Promise<void> }>()
  const keep = <Driver extends { close(): Promise<void> }>(driver: Driver): Driver => {
    open.add(driver)
    return driver
  }
  return {
    specification: 'v1',
    name: 'file',
    location: `file:${path}`,
    capabilities: fileCapabilities,
    native: undefined,
    open: async (environment: Environment) => {
      if (closed) throw closedError('adapter')
      connection ??= await FileConnection.open(environment, checked)
    },
    admin: () => new FileAdmin(ready()),
    producer: async () => keep(new FileProducer(ready())),
    logReader: async reader => keep(new FileLogReader(ready(), reader)),
    partitionReader: async reader => keep(new FilePartitionReader(ready(), reader)),
    comparePositions: (left, right) => Number(left) - Number(right),
    classify,
    close: async () => {
      if (closed) return
      for (const driver of open) await driver.close()
      closed = true
      connection?.close()
    }
  }
}
