import { parseText, type OptionTable } from '../../core/options.ts'
import { fileError } from './errors.ts'

export interface FileOptions {
  /** Folder of the log, created when it is missing. On a disk of this host: network file systems break its locks. */
  readonly path: string
  /** Records older than this may be deleted, ms. Default: kept for ever. */
  readonly retentionTime?: number
  /** Oldest batches of a partition may be deleted beyond so many bytes. Default: no limit. */
  readonly retentionBytes?: number
  /** `full` (default): an acknowledged record survives a power cut. `normal`: only a crash of the process. */
  readonly synchronous?: 'full' | 'normal'
  /** How often other processes' records are looked for, ms. Default 5. */
  readonly pollInterval?: number
}

export const fileOptions: OptionTable = {
  path: { kind: 'string', doc: 'Folder of the log, created when it is missing.' },
  retentionTime: { kind: 'number', doc: 'Records older than this may be deleted, ms. Default: kept for ever.' },
  retentionBytes: { kind: 'number', doc: 'Oldest batches of a partition may be deleted beyond so many bytes.' },
  synchronous: { kind: 'string', values: ['full', 'normal'], doc: '`full`: an acknowledged record survives a power cut.' },
  pollInterval: { kind: 'number', doc: "How often other processes' records are looked for, ms." }
}

/** The options in a URL: `file:./data`, `file:/var/lib/orders?retentionTime=86400000`. Throws `bad-config`. */
export function fromUrl(url: string): FileOptions {
  const [, path, query] = /^file:([^?]*)(?:\?(.*))?$/.exec(url) ?? []
  if (!path) throw fileError('bad-config', `'${url}' names no folder: write file:./data or file:/var/lib/orders`)
  const given: Record<string, unknown> = { path: decodeURIComponent(path.replace(/^\/\/(?=\/)/, '')) }
  for (const [name, value] of new URLSearchParams(query ?? '')) {
    const spec = Object.hasOwn(fileOptions, name) ? fileOptions[name] : undefined
    given[name] = spec ? parseText(`file: option '${name}'`, spec, value) : value
  }
  return given as unknown as FileOptions
}
