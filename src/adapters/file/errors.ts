import { messageOf, StreamError, type ErrorCode } from '../../core/errors.ts'

export function fileError(code: ErrorCode, message: string, retryable = false, cause?: unknown): StreamError {
  return new StreamError(code, message, { adapter: 'file', retryable, cause })
}

export function unknownTopic(topic: string, path: string): StreamError {
  return fileError('unknown-topic', `there is no topic '${topic}' in ${path}: create it first`)
}

export function closedError(what: string): StreamError {
  return fileError('closed', `the ${what} is closed`)
}

interface Known {
  readonly code: ErrorCode
  readonly retryable: boolean
  readonly advice: string
}

/** SQLite's primary result codes (sqlite.org/rescode.html), which `node:sqlite` gives as `errcode`. */
const known: Readonly<Record<number, Known>> = {
  3: { code: 'unauthorized', retryable: false, advice: 'check its permissions' },
  5: { code: 'timeout', retryable: true, advice: 'another process holds its lock' },
  6: { code: 'timeout', retryable: true, advice: 'another connection holds its lock' },
  8: { code: 'unauthorized', retryable: false, advice: 'the log must be writable: check its permissions' },
  10: { code: 'connection', retryable: true, advice: 'check the disk' },
  11: {
    code: 'corrupt',
    retryable: false,
    advice: 'the file is damaged: restore the folder from a copy, or name another'
  },
  13: { code: 'throttled', retryable: true, advice: 'the disk is full: make room' },
  14: { code: 'unauthorized', retryable: false, advice: 'check that the folder exists and may be written' },
  18: { code: 'too-large', retryable: false, advice: 'send less at once' },
  26: {
    code: 'corrupt',
    retryable: false,
    advice: 'log.db is no database: restore the folder from a copy, or name another'
  }
}

/** The same for errors of the file system, by their `code`. */
const fileSystem: Readonly<Record<string, Known>> = {
  EACCES: known[3]!,
  EPERM: known[3]!,
  EROFS: known[8]!,
  ENOSPC: known[13]!,
  EDQUOT: known[13]!,
  EIO: known[10]!,
  EEXIST: { code: 'bad-config', retryable: false, advice: 'the path must name a folder' },
  ENOTDIR: { code: 'bad-config', retryable: false, advice: 'the path must name a folder' },
  ENAMETOOLONG: { code: 'bad-config', retryable: false, advice: 'the path must name a folder' }
}

function knownError(error: unknown): Known | undefined {
  const { errcode, code } = (error ?? {}) as { readonly errcode?: unknown; readonly code?: unknown }
  if (typeof errcode === 'number') return known[errcode & 0xff]
  return typeof code === 'string' && Object.hasOwn(fileSystem, code) ? fileSystem[code] : undefined
}

export function classify(error: unknown): { readonly code: ErrorCode; readonly retryable: boolean } {
  if (StreamError.is(error)) return { code: error.code, retryable: error.retryable }
  const { code, retryable } = knownError(error) ?? { code: 'internal', retryable: false }
  return { code, retryable }
}

/** Is another connection in the way? */
export function isBusy(error: unknown): boolean {
  const number = (error as { readonly errcode?: unknown } | null)?.errcode
  return typeof number === 'number' && ((number & 0xff) === 5 || (number & 0xff) === 6)
}

/** What SQLite or the file system threw, with the place and with what to do; anything else as it is. */
export function explained(error: unknown, doing: string, path: string): unknown {
  if (StreamError.is(error)) return error
  const found = knownError(error)
  if (!found) return error
  return fileError(found.code, `${doing} ${path}: ${messageOf(error)}; ${found.advice}`, found.retryable, error)
}
