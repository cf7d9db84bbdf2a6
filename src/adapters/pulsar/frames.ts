import { StreamError } from '../../core/errors.ts'
import { decodeMessageId, type MessageId } from './positions.ts'
import type { IncomingMessage, OutgoingMessage } from './transport.ts'

/**
 * The JSON of Pulsar's WebSocket API. Only what its documentation names is ever sent: the server takes a command that it
 * does not know for an acknowledgement.
 * Source: pulsar.apache.org/docs/4.0.x/client-libraries-websocket
 */

/** Bytes of one frame, `webSocketMaxTextFrameSize`: a larger one closes the socket. */
export const maxFrame: number = 1024 * 1024

/** The frame that sends a message. `context` comes back with the answer. */
export function frameOf({ key, payload, properties, eventTime }: OutgoingMessage, context: string): string {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  let frame = `{"context":"${context}","payload":"${bytes.toString('base64')}"`
  if (eventTime !== 0) frame += `,"eventTime":"${isoOf(eventTime)}"`
  if (key !== undefined) frame += `,"key":${JSON.stringify(key)}`
  for (const _ in properties) {
    frame += `,"properties":${JSON.stringify(properties)}`
    break
  }
  return `${frame}}`
}

/** The answer to a send. */
export interface Answer {
  readonly context: string
  /** `undefined`: the broker had stored it before (deduplication answers ledger -1, entry -1). */
  readonly id: MessageId | undefined
  /** What went wrong: `send-error:7` and a text. */
  readonly error: string | undefined
}

/** Throws `corrupt`. */
export function readAnswer(data: Buffer): Answer {
  const { result, messageId, context, errorMsg } = parse(data)
  if (typeof context !== 'string' || typeof result !== 'string') throw strange(data)
  if (result !== 'ok') return { context, id: undefined, error: `${result} ${String(errorMsg ?? '')}`.trim() }
  if (typeof messageId !== 'string') throw strange(data)
  const id = decodeMessageId(Buffer.from(messageId, 'base64'))
  return { context, id: id.entry < 0 ? undefined : id, error: undefined }
}

/** A message, and its id as the server wrote it. Throws `corrupt`. */
export function readMessage(data: Buffer): { readonly message: IncomingMessage; readonly messageId: string } {
  const { messageId, payload, properties, key, eventTime, publishTime } = parse(data)
  if (typeof messageId !== 'string') throw strange(data)
  const id = decodeMessageId(Buffer.from(messageId, 'base64'))
  if (id.entry < 0) throw strange(data)
  const message: IncomingMessage = {
    id,
    key: typeof key === 'string' ? key : undefined,
    payload: typeof payload === 'string' ? Buffer.from(payload, 'base64') : null,
    properties: (properties ?? none) as Readonly<Record<string, string>>,
    eventTime: timeOf(eventTime),
    publishTime: timeOf(publishTime)
  }
  return { message, messageId }
}

/** A message has found its place: the server may send one more. */
export function acknowledgement(messageId: string): string {
  return `{"messageId":"${messageId}"}`
}

const none: Readonly<Record<string, string>> = Object.freeze({})

function parse(data: Buffer): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(data.toString())
    if (typeof parsed === 'object' && parsed !== null) return parsed as Record<string, unknown>
  } catch {
    // Said below.
  }
  throw strange(data)
}

function strange(data: Buffer): StreamError {
  return new StreamError('corrupt', `Pulsar's WebSocket sent what is no answer: ${data.toString().slice(0, 200)}`, {
    adapter: 'pulsar'
  })
}

function timeOf(text: unknown): number {
  if (typeof text !== 'string') return 0
  const time = Date.parse(text)
  if (!Number.isNaN(time)) return time
  // Java writes the year 10000 as `+10000`, JavaScript wants `+010000`.
  const far = Date.parse(
    text.replace(/^([+-])(\d{4,5})-/, (_, sign: string, year: string) => `${sign}${year.padStart(6, '0')}-`)
  )
  return Number.isNaN(far) ? 0 : far
}

// Records of a batch often have the time of the one before.
let lastTime = 0
let lastIso = ''

function isoOf(time: number): string {
  if (time !== lastTime) {
    lastIso = new Date(time).toISOString()
    lastTime = time
  }
  return lastIso
}
