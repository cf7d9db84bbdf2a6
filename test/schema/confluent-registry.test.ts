import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { confluentRegistry, type ConfluentRegistryOptions, type ManagedRegistry } from '../../src/schema/index.ts'
import { systemEnvironment, type Environment } from '../../src/core/environment.ts'
import { failure } from './support.ts'

// What a real registry does not do on demand: to be slow, to stumble, to refuse.

type Handler = (request: IncomingMessage, response: ServerResponse) => void

let server: Server
let url: string
let requests: IncomingMessage[]
let handler: Handler
const opened: ManagedRegistry[] = []

beforeEach(async () => {
  requests = []
  handler = answer(200, { schema: '"string"' })
  server = createServer((request, response) => {
    requests.push(request)
    request.resume().once('end', () => handler(request, response))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(async () => {
  await Promise.all(opened.splice(0).map(registry => registry.close!()))
  server.closeAllConnections()
  await new Promise(resolve => server.close(resolve))
})

/** Pauses end at once and are noted. */
function hurried(pauses: number[]): Environment {
  return {
    ...systemEnvironment,
    random: () => 1,
    timer: (delay, task) => {
      if (delay === timeout) return systemEnvironment.timer(delay, task)
      pauses.push(delay)
      return systemEnvironment.timer(0, task)
    }
  }
}
const timeout = 300

function open(options: Partial<ConfluentRegistryOptions> = {}, pauses: number[] = []): ManagedRegistry {
  const registry = confluentRegistry({ url, timeout, environment: hurried(pauses), ...options })
  opened.push(registry)
  return registry
}

function answer(status: number, body: unknown, headers: Record<string, string> = {}): Handler {
  return (_, response) => void response.writeHead(status, headers).end(JSON.stringify(body))
}

function inTurn(...handlers: readonly Handler[]): Handler {
  let next = 0
  return (request, response) => handlers[Math.min(next++, handlers.length - 1)]!(request, response)
}

const fine = answer(200, { schema: '"string"' })

test('stumbles are tried again, with growing pauses, and no more often than said', async () => {
  const pauses: number[] = []
  handler = inTurn(
    answer(503, ''),
    (_, response) => void response.socket!.destroy(),
    answer(500, { error_code: 50_001 }),
    fine
  )
  const registry = open({ attempts: 4 }, pauses)
  expect(await registry.byId(7)).toEqual({ id: 7, type: 'AVRO', schema: '"string"' })
  expect(pauses).toEqual([100, 200, 400])
  handler = answer(502, '')
  const error = await failure('connection', () => registry.byId(8))
  expect([error.retryable, requests.length]).toEqual([true, 8])
  expect(error.message).toContain('answered 502, 4 attempts')
})

test('a server that says how long to wait is obeyed, within bounds', async () => {
  const pauses: number[] = []
  handler = inTurn(answer(429, '', { 'retry-after': '2' }), answer(429, '', { 'retry-after': '9999' }), fine)
  await open({}, pauses).byId(7)
  expect(pauses).toEqual([2_000, 5_000])
})

test('no answer, or half of one, is a timeout', async () => {
  handler = inTurn(
    () => {},
    (_, response) => void response.writeHead(200).write('{"schema":'),
    fine
  )
  expect((await open().byId(7)).schema).toBe('"string"')
  handler = () => {}
  expect((await failure('connection', () => open({ attempts: 1 }).byId(7))).message).toContain('no answer in 300 ms')
})

test('an answer without end is cut', async () => {
  handler = (_, response) => {
    const more = (): void => {
      while (response.write(Buffer.alloc(1 << 20, 32)));
    }
    response.writeHead(200).on('drain', more)
    more()
  }
  const registry = open({ attempts: 1, timeout: 20_000, environment: systemEnvironment })
  expect((await failure('connection', () => registry.byId(7))).message).toContain('longer than')
})

test('callers at the same time share one request; what is known is not asked again; the memory is bounded', async () => {
  const registry = open({ cacheSize: 10 })
  await Promise.all([registry.byId(7), registry.byId(7), registry.byId(7)])
  await registry.byId(7)
  expect(requests).toHaveLength(1)
  for (let id = 100; id < 110; id++) await registry.byId(id)
  expect(requests).toHaveLength(11)
  await registry.byId(109)
  expect(requests).toHaveLength(11)
  await registry.byId(7)
  expect(requests).toHaveLength(12)
})

test('a failure is not remembered', async () => {
  handler = inTurn(answer(404, { error_code: 40_403, message: 'Schema not found' }), fine)
  const registry = open()
  expect((await failure('bad-schema', () => registry.byId(7))).message).toContain('Schema not found')
  await registry.byId(7)
})

test('credentials go into headers, never into the address', async () => {
  await open({ basic: { username: 'key', password: 'secret' } }).byId(1)
  let count = 0
  const tokens = open({ headers: async () => ({ authorization: `Bearer ${++count}` }) })
  await tokens.byId(2)
  await tokens.byId(3)
  expect(requests.map(({ headers }) => headers.authorization)).toEqual([
    `Basic ${Buffer.from('key:secret').toString('base64')}`,
    'Bearer 1',
    'Bearer 2'
  ])
  expect(requests.every(request => !request.url!.includes('?'))).toBe(true)
  for (const wrong of [url.replace('//', '//key:secret@'), `${url}?token=secret`]) {
    const error = await failure('bad-config', () => confluentRegistry({ url: wrong }))
    expect(error.message).not.toContain('secret')
  }
})

test('refused credentials are told at once', async () => {
  handler = answer(401, { message: 'Unauthorized' })
  expect((await failure('unauthorized', () => open().byId(7))).retryable).toBe(false)
  expect(requests).toHaveLength(1)
})

test('the next server of the cluster answers when one does not', async () => {
  const registry = open({ url: ['http://127.0.0.1:1', url] })
  await registry.byId(7)
  await registry.byId(8)
  expect(requests).toHaveLength(2)
})

test('park: what cannot be fetched is final for its records; registering still says retryable', async () => {
  handler = answer(503, '')
  const registry = open({ unreachable: 'park', attempts: 2 })
  expect((await failure('connection', () => registry.byId(7))).retryable).toBe(false)
  const error = await failure('connection', () => registry.register('s', { type: 'AVRO', schema: '"string"' }))
  expect(error.retryable).toBe(true)
})

test('an address may have a path, and subjects any name', async () => {
  handler = answer(200, { id: 1 })
  await open({ url: `${url}/apis/ccompat/v7/` }).register('a/b c', { type: 'JSON', schema: '{}' })
  expect(requests[0]!.url).toBe('/apis/ccompat/v7/subjects/a%2Fb%20c/versions')
})

test.each([{}, { id: 'x' }, [], null, 'text', { id: 1, schema: 5 }])('an answer that is none: %j', async body => {
  handler = answer(200, body)
  await failure('internal', () => open().latest('s'))
})

test('closed: requests under way end', async () => {
  handler = () => {}
  const registry = open({ timeout: 60_000, environment: systemEnvironment })
  const pending = failure('connection', () => registry.byId(7))
  while (requests.length === 0) await once(server, 'request')
  await registry.close!()
  await pending
})

test.each([
  [{ url: 'not a url' }],
  [{ url: 'ftp://127.0.0.1' }],
  [{ url: [] }],
  [{ url: 'http://127.0.0.1', timeout: 0 }],
  [{ url: 'http://127.0.0.1', unreachable: 'panic' }],
  [{ url: 'http://127.0.0.1', tiemout: 1 }]
])('options are checked: %j', async options => {
  await failure('bad-config', () => confluentRegistry(options as never))
})
