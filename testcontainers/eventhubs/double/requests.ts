import type { Connection, EventContext, Message, Sender } from 'rhea'
import rhea from 'rhea'
import { type AmqpError, errors } from './errors.ts'
import type { Namespace } from './state.ts'
import { type Grant, pathOf, readToken, type Right, TokenError } from './tokens.ts'

const { types } = rhea

/** What one connection has shown tokens for. */
export class Claims {
  readonly #grants = new Map<string, Grant>()

  put(audience: string, grant: Grant): void {
    this.#grants.set(pathOf(audience), grant)
  }

  /** When the right to this address ends, ms since the epoch; `undefined` when there is none. */
  until(address: string, right: Right): number | undefined {
    const path = address.toLowerCase()
    const found = [...this.#grants].filter(
      ([granted, { rights, expires }]) =>
        (path === granted || granted === '' || path.startsWith(`${granted}/`)) &&
        rights.includes(right) &&
        expires > Date.now()
    )
    return found.length === 0 ? undefined : Math.max(...found.map(([, { expires }]) => expires))
  }
}

/** Links on which we answer: a request names the address of the link that waits for it. */
export function answer(connection: Connection, request: Message, reply: Message): void {
  const address = request.reply_to
  const link = connection.find_sender((each: Sender) => each.name === address || each.target?.address === address) as
    | Sender
    | undefined
  const fallback =
    link ?? (connection.find_sender((each: Sender) => each.source?.address === request.to) as Sender | undefined)
  fallback?.send({ ...reply, correlation_id: request.message_id as string })
}

/** `$cbs`: takes tokens. */
export function takeToken(context: EventContext, claims: Claims): void {
  const message = context.message!
  const { operation, name, type } = message.application_properties ?? {}
  let [code, description] = [202, 'Accepted']
  try {
    if (operation !== 'put-token') throw new TokenError(`'${operation}' is no operation of $cbs.`)
    claims.put(String(name), readToken(String(type), textOf(message.body), String(name)))
  } catch (error) {
    if (!(error instanceof TokenError)) throw error
    ;[code, description] = [401, error.message]
  }
  answer(context.connection, { ...message, to: '$cbs' }, {
    body: undefined,
    application_properties: { 'status-code': types.wrap_int(code), 'status-description': description }
  } as Message)
}

/** `$management`: describes hubs and partitions. */
export function describe(context: EventContext, namespace: Namespace, claims: Claims): void {
  const message = context.message!
  const found = read(message, namespace, claims)
  const error = 'condition' in found ? (found as AmqpError) : undefined
  answer(context.connection, { ...message, to: '$management' }, {
    body: error ? undefined : found,
    application_properties: {
      'status-code': types.wrap_int(error ? statusOf(error) : 200),
      'status-description': error?.description ?? 'OK',
      ...(error && { 'error-condition': types.wrap_symbol(error.condition) })
    }
  } as unknown as Message)
}

function read(
  message: Message,
  { hubs, host, faults }: Namespace,
  claims: Claims
): Record<string, unknown> | AmqpError {
  const { name, type, partition, operation, security_token: token } = message.application_properties ?? {}
  const hub = hubs.get(String(name))
  if (operation !== 'READ')
    return { condition: 'amqp:not-implemented', description: `'${operation}' is no operation of $management.` }
  if (claims.until(String(name), 'Listen') === undefined && claims.until(String(name), 'Send') === undefined) {
    const kind = String(token).startsWith('SharedAccessSignature') ? 'servicebus.windows.net:sastoken' : 'jwt'
    try {
      readToken(kind, String(token), `sb://${host}/${String(name)}`)
    } catch {
      return errors.unauthorized('Listen', host, String(name))
    }
  }
  const refused = faults.refused.get(String(name))
  if (refused) return refused
  if (!hub) return errors.notFound(host, String(name))
  if (type === 'com.microsoft:eventhub')
    return {
      type,
      name: hub.name,
      created_at: types.wrap_timestamp(hub.created),
      partition_count: types.wrap_int(hub.partitions.length),
      partition_ids: types.wrap_array(
        hub.partitions.map(({ id }) => id),
        0xa1,
        undefined as never
      ),
      georeplication_factor: types.wrap_int(1)
    }
  const log = hub.partitions.find(({ id }) => id === String(partition))
  if (!log) return errors.noPartition(hub.name, String(partition), hub.partitions.length)
  const last = log.lastEvent
  return {
    type,
    name: hub.name,
    partition: log.id,
    begin_sequence_number: types.wrap_long(log.begin),
    last_enqueued_sequence_number: types.wrap_long(log.last),
    last_enqueued_offset: String(last?.offset ?? -1),
    last_enqueued_time_utc: types.wrap_timestamp(last?.enqueued ?? 0),
    is_partition_empty: log.isEmpty
  }
}

const statuses: Readonly<Record<string, number>> = {
  'amqp:not-found': 404,
  'amqp:unauthorized-access': 401,
  'com.microsoft:server-busy': 503,
  'com.microsoft:argument-out-of-range': 400
}

function statusOf({ condition }: AmqpError): number {
  return statuses[condition] ?? 500
}

/** Tokens come as a string, from some clients as bytes. */
function textOf(body: unknown): string {
  if (typeof body === 'string') return body
  const { content } = body as { content?: unknown }
  return Buffer.isBuffer(body) ? body.toString() : String(content)
}
