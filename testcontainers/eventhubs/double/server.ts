import { readFileSync } from 'node:fs'
import type { Connection, EventContext, Receiver, Sender } from 'rhea'
import rhea from 'rhea'
import { annotationsOf, messagesOf, pairsOf } from './amqp-bytes.ts'
import { type AmqpError, errors } from './errors.ts'
import { onGone, watch } from './gone.ts'
import { defaultGroup, type Hub, type PartitionLog } from './log.ts'
import { deliver, Receivers, startOf } from './receivers.ts'
import { Claims, describe, takeToken } from './requests.ts'
import type { Namespace } from './state.ts'
import type { Right } from './tokens.ts'
import { writeWholeFrames } from './whole-frames.ts'

/** Timers cannot wait longer than this. */
const longest = 2 ** 31 - 1
const anonymous = new Claims()

/** Speaks AMQP 1.0 as far as Event Hubs clients need it. */
export class AmqpServer {
  readonly #namespace: Namespace
  readonly #receivers: Receivers
  readonly #claims = new WeakMap<Connection, Claims>()
  readonly #connections = new Set<Connection>()
  /** For publications without a partition. */
  #turn = 0

  constructor(namespace: Namespace) {
    this.#namespace = namespace
    this.#receivers = new Receivers(namespace)
  }

  listen(): Promise<void> {
    const { port, webSocket } = this.#namespace.options
    writeWholeFrames()
    const container = rhea.create_container({ id: 'eventhubs-double' })
    container.sasl_server_mechanisms.enable_anonymous()
    container.on('connection_open', context => this.#opened(context.connection))
    container.on('receiver_open', context => this.#publisherAttached(context.receiver!))
    container.on('sender_open', context => this.#readerAttached(context.sender!))
    container.on('message', context => this.#received(context))
    // A client that goes away in the middle is no error of ours.
    for (const event of ['error', 'protocol_error', 'connection_error', 'session_error']) container.on(event, () => {})
    const options = {
      max_frame_size: 65_536,
      idle_time_out: 240_000,
      receiver_options: { autoaccept: false, credit_window: 300 }
    }
    const server = container.listen({ ...options, port, host: '127.0.0.1' })
    const ready = [new Promise<void>((resolve, reject) => server.on('listening', resolve).on('error', reject))]
    if (webSocket)
      ready.push(
        listenForWebSockets(webSocket, socket => container.websocket_accept(socket as never, options as never))
      )
    return Promise.all(ready).then(() => {})
  }

  /** As when the network goes: no goodbye. */
  dropConnections(): void {
    for (const connection of this.#connections)
      (connection as unknown as { socket: { destroy?(error: Error): void } }).socket.destroy?.(new Error('dropped'))
  }

  /** Ends every link to a hub with an error. */
  detach(hub: string, error: AmqpError): void {
    for (const connection of this.#connections)
      eachLink(connection, link => {
        if (hubOf(addressOf(link)) === hub.toLowerCase()) link.close(error as never)
      })
  }

  #opened(connection: Connection): void {
    this.#connections.add(connection)
    watch(connection)
    onGone(connection, () => this.#connections.delete(connection))
    this.#claims.set(connection, new Claims())
    tolerateLateDispositions(connection)
  }

  #claimsOf(connection: Connection): Claims {
    return this.#claims.get(connection) ?? anonymous
  }

  #publisherAttached(link: Receiver): void {
    const address = addressOf(link)
    echo(link)
    if (address.startsWith('$') || address.endsWith('/$management')) return
    attachOf(link)['max_message_size'] = this.#namespace.options.maxMessageSize
    const problem = this.#problemWith(link, address, 'Send')
    if (problem) link.close(problem as never)
  }

  #readerAttached(link: Sender): void {
    const address = addressOf(link)
    echo(link)
    if (address.startsWith('$') || address.endsWith('/$management')) return
    const problem = this.#problemWith(link, address, 'Listen') ?? this.#startReading(link, address)
    if (problem) link.close(problem as never)
  }

  /** What keeps a link from being attached. */
  #problemWith(link: Receiver | Sender, address: string, right: Right): AmqpError | undefined {
    const { hubs, host, faults } = this.#namespace
    const name = hubOf(address)
    const refused = faults.refused.get(name)
    if (refused) return refused
    const until = this.#claimsOf(link.connection).until(address, right)
    if (until === undefined) return errors.unauthorized(right, host, address)
    const hub = hubs.get(name)
    if (!hub) return errors.notFound(host, name)
    const { group, partition } = partsOf(address)
    if (group !== undefined && !hub.groups.has(group) && !hub.groups.has('*'))
      return errors.notFound(host, `${name}/consumergroups/${group}`)
    if (partition !== undefined && !logOf(hub, partition))
      return errors.noPartition(name, partition, hub.partitions.length)
    this.#endWithToken(link, address, right)
    return undefined
  }

  /** A link does not outlive its token, unless a newer one has been shown. */
  #endWithToken(link: Receiver | Sender, address: string, right: Right): void {
    const until = this.#claimsOf(link.connection).until(address, right)
    const wait = (until ?? 0) - Date.now()
    if (wait > longest) return
    const timer = setTimeout(
      () => {
        if (this.#claimsOf(link.connection).until(address, right) !== undefined)
          this.#endWithToken(link, address, right)
        else if (link.is_open()) link.close(errors.expired() as never)
      },
      Math.max(wait, 0)
    )
    onGone(link.connection, () => clearTimeout(timer))
  }

  #startReading(link: Sender, address: string): AmqpError | undefined {
    const { group = defaultGroup, partition = '' } = partsOf(address)
    const log = logOf(this.#namespace.hubs.get(hubOf(address))!, partition)!
    const start = startOf(filterOf(link), log)
    if (typeof start !== 'number') return start
    const given = link.properties?.['com.microsoft:epoch'] as unknown
    const epoch = given === undefined ? undefined : Number(given)
    const place = `${hubOf(address)}/consumergroups/${group}/partitions/${partition}`
    const refused = this.#receivers.admit(place, link, epoch)
    if (refused) return refused
    const wanted = [(link as unknown as { desired_capabilities: unknown }).desired_capabilities ?? []].flat()
    deliver(link, log, start, wanted.map(String).includes('com.microsoft:enable-receiver-runtime-metric'))
    return undefined
  }

  #received(context: EventContext): void {
    const { receiver, delivery } = context as Required<EventContext>
    const address = addressOf(receiver)
    // It was on its way when we ended the link.
    if (!receiver.is_open()) return
    const claims = this.#claimsOf(context.connection)
    if (address === '$cbs') takeToken(context, claims)
    else if (address.endsWith('$management')) describe(context, this.#namespace, claims)
    else return this.#publish(context, address)
    delivery.accept()
  }

  #publish(context: EventContext, address: string): void {
    const { faults, hubs, host, options } = this.#namespace
    const { delivery, message } = context as unknown as {
      delivery: { accept(): void; reject(error: AmqpError): void }
      message: Buffer | object
    }
    const name = hubOf(address)
    const hub = hubs.get(name)
    if (!hub) return delivery.reject(errors.notFound(host, name))
    // A single message is decoded already, a batch is not.
    const batch = Buffer.isBuffer(message)
    const bytes = batch ? message : rhea.message.encode(message as never)
    if (bytes.length > options.maxMessageSize)
      return delivery.reject(errors.tooLarge(bytes.length, options.maxMessageSize))
    if (faults.take(faults.throttled, name)) return delivery.reject(errors.busy())
    const annotations = annotationsOf(bytes)
    const key = annotations && pairsOf(annotations, partitionKey).texts.get('x-opt-partition-key')
    this.#logFor(hub, address, key).append(batch ? messagesOf(bytes) : [bytes], key)
    if (!faults.take(faults.unanswered, name)) delivery.accept()
  }

  #logFor(hub: Hub, address: string, key: string | undefined): PartitionLog {
    const { partition } = partsOf(address)
    if (partition !== undefined) return logOf(hub, partition)!
    const index = key === undefined ? this.#turn++ : hash(key)
    return hub.partitions[index % hub.partitions.length]!
  }
}

const partitionKey: ReadonlySet<string> = new Set(['x-opt-partition-key'])

/** Not the hash of the service: which partition a key belongs to cannot be told from this server. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (const byte of Buffer.from(text)) value = Math.imul(value ^ byte, 0x01000193)
  return value >>> 0
}

function hubOf(address: string): string {
  return address.split('/')[0]!.toLowerCase()
}

function partsOf(address: string): { group?: string; partition?: string } {
  const group = /\/consumergroups\/([^/]+)/i.exec(address)?.[1]?.toLowerCase()
  const partition = /\/partitions\/([^/]+)/i.exec(address)?.[1]
  return { ...(group !== undefined && { group }), ...(partition !== undefined && { partition }) }
}

function logOf(hub: Hub, partition: string): PartitionLog | undefined {
  return hub.partitions.find(({ id }) => id === partition)
}

function filterOf(link: Sender): string | undefined {
  const filters = (link.source as { filter?: Record<string, unknown> } | undefined)?.filter
  const filter = filters?.['apache.org:selector-filter:string'] as { value?: unknown } | string | undefined
  if (filter === undefined || filter === null) return undefined
  return String(typeof filter === 'object' ? (filter.value ?? filter) : filter)
}

/** Microsoft's client for Node names a path, the one for Python a whole URL. */
function addressOf(link: Receiver | Sender): string {
  const address = (link.is_receiver() ? link.target?.address : link.source?.address) ?? ''
  return address.replace(/^amqps?:\/\/[^/]+\//i, '')
}

function attachOf(link: Receiver | Sender): Record<string, unknown> {
  return (link as unknown as { local: { attach: Record<string, unknown> } }).local.attach
}

/** Clients find in our attach what they asked for. */
function echo(link: Receiver | Sender): void {
  link.set_source(link.source)
  link.set_target(link.target)
}

function eachLink(connection: Connection, action: (link: Receiver | Sender) => void): void {
  const sessions = (
    connection as unknown as { local_channel_map: Record<string, { each_link(act: typeof action): void }> }
  ).local_channel_map
  for (const session of Object.values(sessions)) session.each_link(action)
}

/** The client goes on sending dispositions of a session that it has ended; rhea would drop the connection for it. */
function tolerateLateDispositions(connection: Connection): void {
  const internal = connection as unknown as {
    on_disposition(frame: { channel: number }): void
    remote_channel_map: Record<number, unknown>
  }
  const original = internal.on_disposition
  internal.on_disposition = function (frame) {
    if (this.remote_channel_map[frame.channel]) original.call(this, frame)
  }
}

async function listenForWebSockets(
  { port, pem }: { port: number; pem: string },
  accept: (socket: unknown) => void
): Promise<void> {
  const [{ createServer }, { WebSocketServer }] = await Promise.all([import('node:https'), import('ws')])
  const server = createServer({ key: readFileSync(pem), cert: readFileSync(pem) })
  const sockets = new WebSocketServer({ server, path: '/$servicebus/websocket' })
  sockets.on('connection', accept)
  await new Promise<void>((resolve, reject) =>
    server.on('error', reject).listen({ port, host: '127.0.0.1' }, () => resolve())
  )
}
