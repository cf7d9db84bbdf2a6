/** What a record looks like to others, and what theirs look like to us. */
import type { Message, PubSub } from '@google-cloud/pubsub'
import { describe, expect, test } from 'vitest'
import { noHeaders } from '../../../src/core/record.ts'
import { encodeStamp } from '../../../src/core/stamp.ts'
import {
  atEnd,
  createTopic,
  foreignClient,
  notRun,
  opened,
  record,
  running,
  send,
  sendFailure,
  subscribe,
  take,
  text,
  unique
} from './server.ts'

const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))

/** What Google's client gets from a subscription of its own, in the order of their publishing. */
async function seenBy(client: PubSub, topic: string, count: number, write: () => Promise<void>): Promise<Message[]> {
  const [subscription] = await client
    .topic(topic)
    .createSubscription(unique('foreign'), { enableMessageOrdering: true })
  const messages: Message[] = []
  const seen = new Promise<void>((resolve, reject) => {
    subscription.on('error', reject)
    subscription.on('message', (message: Message) => {
      message.ack()
      if (messages.push(message) === count) resolve()
    })
  })
  atEnd(() => subscription.close())
  await write()
  await seen
  return messages.toSorted((left, right) => Number(left.id.slice(1)) - Number(right.id.slice(1)))
}

describe.skipIf(!running)(`messages of Pub/Sub${notRun}`, () => {
  test('what we write is an ordinary message: data, and attributes for the rest', async () => {
    const adapter = await opened()
    const topic = await createTopic(adapter, 2)
    const stamp = encodeStamp('\u00ff\u0000producer-id-12', 7, 1_700_000_000_000, undefined, false)
    const records = [
      record(topic, 1, every, { key: Buffer.from('schlüssel'), headers: { größe: Buffer.from('✓') }, stamp }),
      record(topic, 0, null, { key: every, timestamp: -5 }),
      record(topic, 0, '')
    ]
    const seen = await seenBy(foreignClient(), topic, 3, () => send(adapter, records))
    expect(seen.map(({ data, attributes, orderingKey }) => [data, attributes, orderingKey ?? ''])).toEqual([
      [
        every,
        {
          tidemark_partition: '1',
          '~k': 'schlüssel',
          '~e': '1700000000000',
          größe: '✓',
          '~s': stamp.toString('base64url')
        },
        ''
      ],
      [Buffer.alloc(0), { tidemark_partition: '0', '~k64': every.toString('base64url'), '~e': '-5', '~t': '1' }, ''],
      [Buffer.alloc(0), { tidemark_partition: '0', '~e': '1700000000000' }, '']
    ])
  })

  test('in an ordered topic the partition is the ordering key, and no key to us', async () => {
    const adapter = await opened({ orderedTopics: ['*'] })
    const topic = await createTopic(adapter, 3)
    const subscription = await subscribe(adapter, topic, { partitions: [2] })
    const values = Array.from({ length: 50 }, (_, index) => record(topic, 2, String(index)))
    const seen = await seenBy(foreignClient(), topic, 50, () => send(adapter, values))
    expect(new Set(seen.map(({ orderingKey }) => orderingKey))).toEqual(new Set(['2']))
    const deliveries = await take(subscription, 50)
    expect(deliveries.map(({ key }) => key)).toEqual(Array(50).fill(null))
    expect(
      deliveries.map(({ value }) => text(value)),
      'first deliveries are in order'
    ).toEqual(values.map(({ value }) => text(value)))
  })

  test('what others write: the ordering key is the key, the time is that of publishing, attributes are headers', async () => {
    const adapter = await opened()
    const topic = await createTopic(adapter, 3)
    const group = { group: 'group', partitions: [0, 1, 2] }
    const subscription = await subscribe(adapter, topic, group)
    const before = Date.now()
    const foreign = foreignClient().topic(topic, { messageOrdering: true })
    const id = await foreign.publishMessage({
      data: every,
      orderingKey: 'account-1',
      attributes: { größe: '✓', no: '' }
    })
    await foreign.publishMessage({ data: Buffer.from('there'), attributes: { tidemark_partition: '2', '~e': '1234' } })
    await foreign.publishMessage({ attributes: { only: 'attributes' } })
    await foreign.publishMessage({
      data: Buffer.from('odd'),
      attributes: { '~s': 'no stamp', '~e': 'soon', '~t': 'x' }
    })
    const deliveries = await take(subscription, 4)
    const of = (value: string | Buffer): (typeof deliveries)[number] =>
      deliveries.find(delivery => Buffer.from(delivery.value!).equals(Buffer.from(value)))!
    expect(of(every)).toMatchObject({ partition: 0, position: id, identity: id, stamp: undefined, redelivered: 0 })
    expect(text(of(every).key)).toBe('account-1')
    expect(Object.entries(of(every).headers).map(([name, value]) => [name, text(value)])).toEqual(
      expect.arrayContaining([
        ['größe', '✓'],
        ['no', '']
      ])
    )
    expect(of(every).timestamp).toBeGreaterThan(before - 60_000)
    expect(of(every).timestamp).toBeLessThan(Date.now() + 60_000)
    expect(of('there')).toMatchObject({ partition: 2, key: null, timestamp: 1234, headers: noHeaders })
    expect(of('')).toMatchObject({ partition: 0, key: null })
    expect(text(of('').headers['only'])).toBe('attributes')
    expect(of('odd').value, 'only a 1 makes a tombstone').not.toBeNull()
    expect(of('odd').timestamp).toBeGreaterThan(before - 60_000)
  })

  test('a stamp of another partition says who the record is, and nothing of its sequence here', async () => {
    const adapter = await opened()
    const topic = await createTopic(adapter)
    const client = foreignClient()
    const name = unique('all')
    await client.topic(topic).createSubscription(name)
    const plain = await opened({ subscriptions: { [topic]: name } })
    const subscription = await subscribe(plain, topic)
    const stamp = encodeStamp('producer-id-1234', 1, 1_700_000_000_000, undefined, false)
    // The relay of an upstream task sends again what it is not sure of: another message, the same record.
    for (const partition of [3, 3, 4, 0]) await send(adapter, [record(topic, partition, String(partition), { stamp })])
    const deliveries = await take(subscription, 4)
    expect(deliveries.filter(each => each.stamp !== undefined).map(({ value }) => text(value))).toEqual(['0'])
    const identities = Map.groupBy(deliveries, ({ identity }) => identity)
    expect([...identities.values()].map(same => same.map(({ value }) => text(value))).toSorted()).toEqual([
      ['0'],
      ['3', '3'],
      ['4']
    ])
    expect(new Set(deliveries.map(({ position }) => position)).size).toBe(4)
    expect(new Set(deliveries.map(({ partition }) => partition))).toEqual(new Set([0]))
  })

  test.for([
    ['a value over the limit', { value: Buffer.alloc(10_000_000) }, 'too-large', /10,?000,?\d* bytes|the most/],
    ['a key over 1,024 bytes', { key: Buffer.alloc(1025, 'a') }, 'too-large', /key of 1025 bytes.*1024/],
    [
      'a key over 768 bytes of no text',
      { key: Buffer.alloc(769, 0xff) },
      'too-large',
      /768 of bytes that are not UTF-8/
    ],
    ['a header that is no text', { headers: { raw: Buffer.from([0xff]) } }, 'bad-record', /'raw'.*not UTF-8/],
    ['a header over 1,024 bytes', { headers: { long: Buffer.alloc(1025, 'a') } }, 'bad-record', /'long'.*1025.*1024/],
    ['a header name over 256 bytes', { headers: { ['n'.repeat(257)]: Buffer.alloc(1) } }, 'bad-record', /256 bytes/],
    ['a header name of Google', { headers: { 'goog-x': Buffer.alloc(1) } }, 'bad-record', /reserved name 'goog-x'/],
    ['a header name of ours', { headers: { '~k': Buffer.alloc(1) } }, 'bad-record', /reserved name '~k'/],
    [
      'a hundred headers',
      { headers: Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`h${index}`, Buffer.alloc(1, 'a')])) },
      'bad-record',
      /10[23] attributes.*100/
    ]
  ] as const)('%s is refused before it is sent, and by check', async ([, more, code, message]) => {
    const adapter = await opened()
    const topic = await createTopic(adapter)
    const bad = record(topic, 0, 'x', more)
    const failed = await sendFailure(adapter, [bad])
    expect(adapter.classify(failed)).toEqual({ code, retryable: false })
    expect(String(failed)).toMatch(message)
    if (!('value' in more)) expect(() => adapter.check!(bad)).toThrow(message)
  })

  test('the largest of everything goes through together', async () => {
    const adapter = await opened()
    const topic = await createTopic(adapter)
    const subscription = await subscribe(adapter, topic)
    const headers = Object.fromEntries(
      Array.from({ length: 95 }, (_, index) => [`${index}`.padEnd(250, 'n'), Buffer.alloc(1024, 'v')])
    )
    const stamp = encodeStamp('producer-id-1234', 2 ** 50, 1_700_000_000_000, 1, true)
    const largest = record(topic, 0, Buffer.alloc(9_500_000, 1), { key: Buffer.alloc(1024, 'k'), headers, stamp })
    adapter.check!({ ...largest, stamp: undefined })
    await send(adapter, [largest, record(topic, 0, null, { key: Buffer.alloc(768, 0xff), headers, stamp })])
    for (let count = 0; count < 2; count++) {
      const [delivery] = await take(subscription, 1)
      expect(Object.keys(delivery!.headers)).toHaveLength(95)
      // What is not acknowledged counts for the flow control of the service, and this is more than it lets out at once.
      await subscription.acknowledge([delivery!.id])
    }
  })
})
