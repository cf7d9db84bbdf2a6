import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseText, readOptions, type OptionTable } from '../../core/options.ts'
import { fileError } from './errors.ts'

export interface FileOptions {
  /** Folder of the log, created when it is missing. On a disk of this host: network file systems break its locks. */
  readonly path: string
  /** Batches that were written longer ago may be deleted, ms. Of topics without a word of their own. Default: never. */
  readonly retentionTime?: number
  /** The oldest batches of a partition may be deleted beyond so many bytes, likewise. Default: never. */
  readonly retentionBytes?: number
  /** Compacted topics: a partition is compacted when so many bytes are new in it, and half of it is. Default 1 MiB. */
  readonly compactAfter?: number
  /** `full` (default): an acknowledged record survives a power cut. `normal`: a crash of the process, not of the host. */
  readonly synchronous?: 'full' | 'normal'
  /** How often an idle reader looks for what other processes wrote, ms; a busy one looks sooner. Default 20. */
  readonly pollInterval?: number
  /** How long to wait for other processes that write, ms, before it is an error (`timeout`). Default 10,000. */
  readonly lockTimeout?: number
}

/** With the defaults filled in, and an absolute path. */
export interface FileSettings extends Required<Omit<FileOptions, 'retentionTime' | 'retentionBytes'>> {
  readonly retentionTime: number
  readonly retentionBytes: number
}

export const fileOptions: OptionTable = {
  path: { kind: 'string', doc: 'Folder of the log, created when it is missing. On a disk of this host.' },
  retentionTime: { kind: 'number', doc: 'Batches written longer ago may be deleted, ms. Default: never.' },
  retentionBytes: {
    kind: 'number',
    doc: 'The oldest batches of a partition may be deleted beyond it. Default: never.'
  },
  compactAfter: { kind: 'number', doc: 'Compacted topics: bytes that must be new in a partition. Default 1 MiB.' },
  synchronous: {
    kind: 'string',
    values: ['full', 'normal'],
    doc: '`full` (default): an acknowledged record survives a power cut. `normal`: only a crash of the process.'
  },
  pollInterval: { kind: 'number', doc: 'How often an idle reader looks for news of other processes, ms. Default 20.' },
  lockTimeout: { kind: 'number', doc: 'How long to wait for other processes that write, ms. Default 10,000.' }
}

/** Checks options and fills in the defaults. Throws `bad-config`. */
export function settingsOf(options: FileOptions): FileSettings {
  const given = readOptions('file', fileOptions, options) as unknown as FileOptions
  if (!given.path) throw fileError('bad-config', "file: option 'path' names the folder of the log")
  if (given.path.includes('\0')) throw fileError('bad-config', "file: option 'path' must not contain a zero byte")
  const least = { retentionTime: 1, retentionBytes: 1, compactAfter: 1, pollInterval: 1, lockTimeout: 0 }
  for (const [name, limit] of Object.entries(least)) {
    const value = given[name as keyof typeof least]
    if (value !== undefined && !(value >= limit))
      throw fileError('bad-config', `file: option '${name}' must be ${limit} or more, got ${value}`)
  }
  const {
    retentionTime = Infinity,
    retentionBytes = Infinity,
    compactAfter = 1024 * 1024,
    synchronous = 'full'
  } = given
  const { path, pollInterval = 20, lockTimeout = 10_000 } = given
  return { path: resolve(path), retentionTime, retentionBytes, compactAfter, synchronous, pollInterval, lockTimeout }
}

/**
 * The options in a URL: `file:./data`, `file:/var/lib/orders?retentionTime=86400000`. Characters that mean something in a
 * URL (`?`, `#`, `%`) are written as `%3F`, `%23`, `%25`. Throws `bad-config`.
 */
export function fromUrl(url: string): FileOptions {
  const [, rawPath = '', query = ''] = /^file:([^?#]*)(?:\?([^#]*))?$/.exec(url) ?? []
  const given: Record<string, unknown> = { path: pathOf(rawPath, url) }
  for (const [name, value] of new URLSearchParams(query)) {
    const spec = Object.hasOwn(fileOptions, name) ? fileOptions[name] : undefined
    // What is unknown is refused by `file()`, which names what there is.
    given[name] = spec ? parseText(`file: option '${name}'`, spec, value) : value
  }
  return given as unknown as FileOptions
}

function pathOf(path: string, url: string): string {
  const advice = 'write file:./data or file:/var/lib/orders, with %3F %23 %25 for ? # %'
  if (path === '' || /^\/+$/.test(path)) throw fileError('bad-config', `'${url}' names no folder: ${advice}`)
  if (/^\/\/[^/]/.test(path))
    throw fileError('bad-config', `'${url}' names a host, but the log is on this one: ${advice}`)
  try {
    // `file:///…` is the standard form; it knows the drive letters of Windows, too.
    return path.startsWith('//') ? fileURLToPath(`file:${path}`) : decodeURIComponent(path)
  } catch (error) {
    throw fileError('bad-config', `'${url}' is no path: ${advice}`, false, error)
  }
}
