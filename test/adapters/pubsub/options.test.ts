import { describe, expect, test } from 'vitest'
import { adapters } from '../../../src/adapters/index.ts'
import { fromUrl, pubsub, pubsubOptions } from '../../../src/adapters/pubsub/index.ts'
import { groupSubscription, isOurs, partitionFilter, privateSubscription } from '../../../src/adapters/pubsub/names.ts'
import { readOptions } from '../../../src/core/options.ts'

const bad = (message: RegExp) =>
  expect.objectContaining({ code: 'bad-config', message: expect.stringMatching(message) })

describe('options of the pubsub adapter', () => {
  test('come from a URL with the project in the place of the host', () => {
    expect(fromUrl('pubsub://shop')).toEqual({ projectId: 'shop' })
    expect(fromUrl('pubsub:')).toEqual({})
    expect(fromUrl('pubsub://example.com:shop/')).toEqual({ projectId: 'example.com:shop' })
    const query = 'emulator=127.0.0.1:8085&exactlyOnce=true&ackDeadline=60000&orderedTopics=a,b'
    expect(fromUrl(`pubsub://shop?${query}`)).toEqual({
      projectId: 'shop',
      emulator: '127.0.0.1:8085',
      exactlyOnce: true,
      ackDeadline: 60_000,
      orderedTopics: ['a', 'b']
    })
  })

  test.each([
    ['http://shop', /looks like/],
    ['pubsub://shop/orders', /looks like/],
    ['pubsub://user:hunter2@shop', /looks like/],
    ['pubsub://shop?keyFile=hunter2', /is a secret/],
    ['pubsub://shop?credentials=hunter2', /is a secret/],
    ['pubsub://shop?nonsense=1', /unknown parameter 'nonsense'.*ackDeadline/],
    ['pubsub://shop?subscriptions=x', /unknown parameter 'subscriptions'/],
    ['pubsub://shop?ackDeadline=long', /ackDeadline.*number/]
  ])('%s is refused', (url, message) => {
    expect(() => fromUrl(url)).toThrow(bad(message))
    expect(() => fromUrl(url)).not.toThrow(/hunter2/)
  })

  test.each([
    [{ projectId: 'a/b' }, /'projectId'/],
    [{ emulator: 'localhost', projectId: 'p' }, /'emulator' is not like/],
    [{ emulator: 'http://localhost:1', projectId: 'p' }, /'emulator' is not like/],
    [{ emulator: 'localhost:1' }, /'projectId' is needed/],
    [{ emulator: 'localhost:1', apiEndpoint: 'b:2', projectId: 'p' }, /two servers/],
    [{ apiEndpoint: 'https://x' }, /'apiEndpoint' is not like/],
    [{ ackDeadline: 9_999 }, /'ackDeadline' must be 10000 to 600000 ms, got 9999/],
    [{ ackDeadline: 600_001 }, /'ackDeadline'/],
    [{ retention: 1 }, /'retention'/],
    [{ topicRetention: 1 }, /'topicRetention'/],
    [{ requestTimeout: 0 }, /'requestTimeout'/],
    [{ subscriptions: { orders: '' } }, /'orders' must name a subscription/],
    [{ subscriptions: { orders: 7 } as never }, /'orders' must name a subscription/],
    [{ color: 'red' } as never, /unknown option 'color'/]
  ])('%j is refused', (options, message) => {
    expect(() => pubsub(options)).toThrow(bad(message))
  })

  test('the key file comes from the environment, and is never shown', () => {
    const variables = { TIDEMARK_BROKERS__DEFAULT__KEY_FILE: '/secrets/hunter2.json' }
    const options = readOptions('x', pubsubOptions, fromUrl('pubsub://shop'), variables, 'TIDEMARK_BROKERS__DEFAULT')
    expect(options).toEqual({ projectId: 'shop', keyFile: '/secrets/hunter2.json' })
    expect(pubsub(options).location).toBe('pubsub://shop')
    expect(() => pubsub({ ...options, keyFile: 7 } as never)).toThrow(bad(/'keyFile'/))
  })

  test('`connect` finds the adapter by the scheme of its URL', async () => {
    const { create, fromUrl: read } = await adapters.pubsub()
    expect(create(read('pubsub://shop?emulator=h:1') as never).location).toBe('pubsub://shop at h:1')
  })
})

describe('names of subscriptions', () => {
  test('are the same for all who ask, legal, and of one partition only', () => {
    const legal = /^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$/
    const long = 'ö'.repeat(100)
    const names = ['a', 'a~b', 'a.b', 'ä/ö 1', long, `${long}x`].flatMap(group =>
      ['t', 't~0', `${long}`].flatMap(topic => [0, 1, 11].map(partition => groupSubscription(group, topic, partition)))
    )
    for (const name of names) expect(name).toMatch(legal)
    expect(new Set(names).size).toBe(names.length)
    expect(privateSubscription(long, '0198')).toMatch(legal)
    expect([groupSubscription('a', 't', 1), privateSubscription('t', 'x'), 'orders', 'tidemark'].map(isOurs)).toEqual([
      true,
      true,
      false,
      false
    ])
    expect(isOurs(`projects/p/subscriptions/${groupSubscription('a', 't', 1)}`)).toBe(true)
  })

  test('a filter has at most 256 bytes', () => {
    for (const partition of [0, 1, 999_999]) expect(partitionFilter(partition).length).toBeLessThanOrEqual(256)
  })
})
