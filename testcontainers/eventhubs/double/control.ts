import { createServer, type IncomingMessage } from 'node:http'
import { type AmqpError, errors } from './errors.ts'
import type { Hub } from './log.ts'
import type { AmqpServer } from './server.ts'
import type { Namespace } from './state.ts'

interface Answer {
  readonly status: number
  readonly body?: unknown
}

type Body = Record<string, unknown>

/**
 * Two doors over HTTP. Below `/subscriptions/` the part of Azure's management API that creates hubs and consumer groups
 * (Microsoft.EventHub, 2024-01-01). Below `/control/` what tests do to this server on purpose.
 */
export async function listenForManagement(namespace: Namespace, amqp: AmqpServer): Promise<void> {
  const server = createServer((request, response) => {
    handle(request, namespace, amqp)
      .catch((error: unknown): Answer => failure(500, 'InternalServerError', String(error)))
      .then(({ status, body }) => {
        response.writeHead(status, { 'content-type': 'application/json' })
        response.end(body === undefined ? '' : JSON.stringify(body))
      })
      .catch(() => response.destroy())
  })
  await new Promise<void>((resolve, reject) =>
    server.on('error', reject).listen({ port: namespace.options.managementPort, host: '127.0.0.1' }, () => resolve())
  )
}

async function handle(request: IncomingMessage, namespace: Namespace, amqp: AmqpServer): Promise<Answer> {
  const { pathname } = new URL(request.url ?? '/', 'http://localhost')
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString()
  const body = text === '' ? {} : (JSON.parse(text) as Body)
  if (pathname.startsWith('/control/')) return control(pathname.slice('/control/'.length), body, namespace, amqp)
  if (request.headers.authorization === 'Bearer refused')
    return failure(403, 'AuthorizationFailed', 'The client does not have authorization to perform this action.')
  const match = /\/namespaces\/[^/]+\/eventhubs(?:\/([^/]+)(?:\/consumergroups\/([^/]+))?)?$/i.exec(pathname)
  if (!match) return failure(404, 'ResourceNotFound', `There is nothing at '${pathname}'.`)
  const [name, group] = [match[1], match[2]].map(part => part && decodeURIComponent(part))
  const answer = manage(request.method ?? 'GET', name, group, (body['properties'] ?? {}) as Body, namespace)
  // Who reads or writes it is told.
  if (request.method === 'DELETE' && name !== undefined && answer.status === 200)
    amqp.detach(name, errors.notFound(namespace.host, name))
  return answer
}

function manage(
  method: string,
  name: string | undefined,
  group: string | undefined,
  properties: Body,
  { hubs }: Namespace
): Answer {
  if (name === undefined) return { status: 200, body: { value: hubs.list().map(shown) } }
  const hub = hubs.get(name)
  if (group !== undefined) {
    if (!hub) return failure(404, 'ParentResourceNotFound', `Hub '${name}' does not exist.`)
    if (method === 'PUT') hubs.addGroup(hub, group)
    else if (!hub.groups.has(group.toLowerCase())) return failure(404, 'NotFound', `Consumer group '${group}'.`)
    return { status: 200, body: { name: group } }
  }
  switch (method) {
    case 'PUT':
      return put(name, hub, properties, hubs)
    case 'DELETE':
      if (!hub) return { status: 204 }
      hubs.delete(hub)
      return { status: 200 }
    default:
      return hub ? { status: 200, body: shown(hub) } : failure(404, 'NotFound', `Hub '${name}' does not exist.`)
  }
}

function put(name: string, hub: Hub | undefined, properties: Body, hubs: Namespace['hubs']): Answer {
  const count = Number(properties['partitionCount'] ?? hub?.partitions.length ?? 4)
  if (!/^[a-z0-9](?:[\w.-]{0,254}[a-z0-9])?$/i.test(name))
    return failure(400, 'BadRequest', `'${name}' is no name of an event hub.`)
  if (!(count >= 1 && count <= 1_024)) return failure(400, 'BadRequest', `partitionCount ${count} is out of range.`)
  if (hub && count < hub.partitions.length)
    return failure(400, 'BadRequest', 'The partition count of an event hub cannot be decreased.')
  if (hub) hubs.grow(hub, count)
  return { status: 200, body: shown(hub ?? hubs.create(name, count)) }
}

function control(action: string, body: Body, { hubs, faults }: Namespace, amqp: AmqpServer): Answer {
  const name = String(body['hub'] ?? '').toLowerCase()
  const count = Number(body['count'] ?? 1)
  switch (action) {
    case 'throttle':
      faults.throttled.set(name, count)
      return { status: 200 }
    case 'silence':
      faults.unanswered.set(name, count)
      return { status: 200 }
    case 'refuse':
      if (body['error']) faults.refused.set(name, body['error'] as AmqpError)
      else faults.refused.delete(name)
      return { status: 200 }
    case 'detach':
      amqp.detach(name, body['error'] as AmqpError)
      return { status: 200 }
    case 'drop':
      amqp.dropConnections()
      return { status: 200 }
    case 'trim':
      hubs.trim(hubs.get(name)!, Number(body['partition']), Number(body['before']))
      return { status: 200 }
    default:
      return failure(404, 'NotFound', `no such action: ${action}`)
  }
}

function shown({ name, partitions, created }: Hub): Body {
  return {
    name,
    properties: {
      partitionCount: partitions.length,
      partitionIds: partitions.map(({ id }) => id),
      createdAt: new Date(created).toISOString(),
      status: 'Active'
    }
  }
}

function failure(status: number, code: string, message: string): Answer {
  return { status, body: { error: { code, message } } }
}
