import { describe, expect, test } from 'vitest'
import { adapters } from '../../../src/adapters/index.ts'
import { fromUrl, pulsar, pulsarOptions } from '../../../src/adapters/pulsar/index.ts'
import { readOptions } from '../../../src/core/options.ts'

const bad = (message: RegExp) =>
  expect.objectContaining({ code: 'bad-config', message: expect.stringMatching(message) })

describe('options of the pulsar adapter', () => {
  test('come from a URL of the web service', () => {
    expect(fromUrl('pulsar://localhost')).toEqual({ webUrl: 'http://localhost:8080' })
    expect(fromUrl('pulsar://localhost:8081/orders/live')).toEqual({
      webUrl: 'http://localhost:8081',
      tenant: 'orders',
      namespace: 'live'
    })
    expect(fromUrl('pulsar://proxy?ssl=true')).toEqual({ webUrl: 'https://proxy:8443' })
    expect(fromUrl('pulsar://[::1]:8080/a/b/')).toEqual({ webUrl: 'http://[::1]:8080', tenant: 'a', namespace: 'b' })
    expect(fromUrl('pulsar://h?deduplication=true&maxInFlight=50&transport=native&serviceUrl=pulsar://h:6650')).toEqual(
      {
        webUrl: 'http://h:8080',
        deduplication: true,
        maxInFlight: 50,
        transport: 'native',
        serviceUrl: 'pulsar://h:6650'
      }
    )
  })

  test.each([
    ['pulsar://', /looks like/],
    ['pulsar:localhost', /looks like/],
    ['http://localhost', /looks like/],
    ['pulsar://host/tenant', /looks like/],
    ['pulsar://host/a/b/c', /looks like/],
    ['pulsar://user:hunter2@host', /must not hold a user/],
    ['pulsar://host?token=hunter2', /is a secret/],
    ['pulsar://host?nonsense=1', /unknown parameter 'nonsense'.*ssl/],
    ['pulsar://host?tenant=x', /unknown parameter 'tenant'/],
    ['pulsar://host?maxInFlight=many', /maxInFlight.*number/],
    ['pulsar://host?transport=pigeon', /one of auto, native, websocket/]
  ])('%s is refused', (url, message) => {
    expect(() => fromUrl(url)).toThrow(bad(message))
    expect(() => fromUrl(url)).not.toThrow(/hunter2/)
  })

  test.each([
    [{}, /'webUrl' is missing/],
    [{ webUrl: 'localhost:8080' }, /'webUrl' is not like/],
    [{ webUrl: 'http://user:hunter2@host:8080' }, /'webUrl' is not like/],
    [{ webUrl: 'http://h:1', serviceUrl: 'http://h:2' }, /'serviceUrl' is not like/],
    [{ webUrl: 'http://h:1', tenant: 'a/b' }, /'tenant'/],
    [{ webUrl: 'http://h:1', maxInFlight: 0 }, /'maxInFlight'/],
    [{ webUrl: 'http://h:1', pingInterval: 1.5 }, /'pingInterval'/],
    [{ webUrl: 'http://h:1', color: 'red' }, /unknown option 'color'/]
  ])('%j is refused', (options, message) => {
    expect(() => pulsar(options)).toThrow(bad(message))
    expect(() => pulsar(options)).not.toThrow(/hunter2/)
  })

  test('the token comes from the environment, and is never shown', () => {
    const variables = { TIDEMARK_BROKERS__DEFAULT__TOKEN: 'hunter2', TIDEMARK_BROKERS__DEFAULT__DEDUPLICATION: 'true' }
    const given = fromUrl('pulsar://localhost')
    const options = readOptions('x', pulsarOptions, given, variables, 'TIDEMARK_BROKERS__DEFAULT')
    expect(options).toEqual({ webUrl: 'http://localhost:8080', token: 'hunter2', deduplication: true })
    expect(pulsar(options).location).toBe('pulsar://localhost:8080/public/default')
    expect(() => pulsar({ ...options, token: 7 } as never)).toThrow(bad(/'token'/))
  })

  test('`connect` finds the adapter by the scheme of its URL', async () => {
    const { create, fromUrl: read } = await adapters.pulsar()
    expect(create(read('pulsar://localhost/a/b') as never).location).toBe('pulsar://localhost:8080/a/b')
  })

  test('the native transport says what it needs', async () => {
    const { systemEnvironment } = await import('../../../src/core/environment.ts')
    const missing = pulsar({ webUrl: 'http://h:1', serviceUrl: 'pulsar://h:2', transport: 'native' }).open(
      systemEnvironment
    )
    // Where the package is installed it opens; it connects later.
    await missing.catch((error: unknown) =>
      expect(error).toMatchObject({ code: 'peer-missing', message: expect.stringContaining('pulsar-client') })
    )
    const client = { createProducer: async () => ({}), createReader: async () => ({}), close: async () => {} } as never
    await expect(pulsar({ webUrl: 'http://h:1', client }).open(systemEnvironment)).rejects.toThrow(bad(/MessageId/))
  })
})
