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

/** SQLite's primary result codes (sqlite.org/rescode.html), which `node:sqlite` gives as `errcode`. */
const codes: Readonly<Record<number, { readonly code: ErrorCode; readonly retryable: boolean }>> = {
  5: { code: 'timeout', retryable: true }, // SQLITE_BUSY: another process held the lock longer than the busy timeout
  6: { code: 'timeout', retryable: true }, // SQLITE_LOCKED
  8: { code: 'unauthorized', retryable: false }, // SQLITE_READONLY
  10: { code: 'connection', retryable: true }, // SQLITE_IOERR
  11: { code: 'corrupt', retryable: false }, // SQLITE_CORRUPT
  13: { code: 'throttled', retryable: true }, // SQLITE_FULL: room may come
  14: { code: 'bad-config', retryable: false }, // SQLITE_CANTOPEN
  18: { code: 'too-large', retryable: false }, // SQLITE_TOOBIG
  26: { code: 'corrupt', retryable: false } // SQLITE_NOTADB
}

export function classify(error: unknown): { readonly code: ErrorCode; readonly retryable: boolean } {
  if (StreamError.is(error)) return { code: error.code, retryable: error.retryable }
  const number = (error as { errcode?: number } | null)?.errcode
  return (number !== undefined && codes[number & 0xff]) || { code: 'internal', retryable: false }
}

/** A log that cannot be opened, in words that help. */
export function openError(error: unknown, path: string): StreamError {
  const { code } = classify(error)
  const advice = code === 'corrupt' ? 'It is damaged or not ours: restore it from a copy, or name another folder' : 'Check the path and its permissions'
  return fileError(code === 'internal' ? 'bad-config' : code, `the log in ${path} cannot be opened: ${messageOf(error)}. ${advice}`, false, error)
}
