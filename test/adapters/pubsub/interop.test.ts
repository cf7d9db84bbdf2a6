/** Messages of a Python service are read by us, and ours by it. */
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { fromUrl } from '../../../src/adapters/pubsub/index.ts'
import { encodeStamp } from '../../../src/core/stamp.ts'
import { connect, json, pipeline, sink, text as textCodec, topic as defineTopic } from '../../../src/index.ts'
import { missingPython, pythonWith, runPython } from '../../support/python.ts'
import {
  atEnd,
  createTopic,
  foreignClient,
  notRun,
  opened,
  record,
  running,
  send,
  subscribe,
  take,
  text,
  unique,
  until,
  url
} from './server.ts'

const noPython = running ? await missingPython() : undefined
if (noPython && process.env.CI) throw new Error(noPython)
const title = running ? (noPython ? ` (not run: ${noPython})` : '') : notRun
const script = fileURLToPath(new URL('./interop.py', import.meta.url))
const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))

interface PythonMessage {
  readonly value: string
  readonly key?: string
  readonly attributes?: Readonly<Record<string, string>>
}

/** Lines of what it prints. */
async function python(words: readonly string[], messages: readonly PythonMessage[] = []): Promise<any[]> {
  const executable = await pythonWith(['google-cloud-pubsub==2.44.0'])
  process.env['PUBSUB_EMULATOR_HOST'] = fromUrl(url).emulator!
  const output = await runPython(executable, script, words, messages.map(each => JSON.stringify(each)).join('\n'))
  return output
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line))
}

const path = (kind: 'topics' | 'subscriptions', name: string): string => `projects/tidemark-test/${kind}/${name}`
const base64 = (value: string | Buffer): string => Buffer.from(value).toString('base64')

describe.skipIf(!running || noPython)(`google-cloud-pubsub of Python${title}`, { timeout: 400_000 }, () => {
  test('what it writes, in batches, is read by us', async () => {
    const adapter = await opened()
    const topic = await createTopic(adapter, 3)
    const subscription = await subscribe(adapter, topic, { partitions: [0, 1, 2] })
    const messages: PythonMessage[] = [
      { value: base64(every), key: 'schlüssel', attributes: { größe: '✓ 🌊', empty: '' } },
      { value: base64('with an event time and a place'), attributes: { '~e': '1234', tidemark_partition: '2' } },
      { value: '', attributes: { only: 'attributes' } },
      ...Array.from({ length: 500 }, (_, index) => ({ value: base64(String(index)), key: `key-${index % 20}` }))
    ]
    const before = Date.now()
    const ids = await python(['write', path('topics', topic)], messages)
    const deliveries = await take(subscription, messages.length)
    expect(deliveries).toHaveLength(messages.length)
    expect(deliveries.filter(({ stamp }) => stamp !== undefined)).toEqual([])
    for (const [index, message] of messages.entries()) {
      const delivery = deliveries.find(({ identity }) => identity === ids[index])!
      expect(base64(Buffer.from(delivery.value!))).toBe(message.value)
      expect(text(delivery.key)).toBe(message.key)
      const { '~e': time, tidemark_partition: partition = '0', ...attributes } = message.attributes ?? {}
      // Its own `googclient_…` are not among them.
      expect(Object.fromEntries(Object.entries(delivery.headers).map(([name, value]) => [name, text(value)]))).toEqual(
        attributes
      )
      expect(delivery.partition).toBe(Number(partition))
      if (time !== undefined) expect(delivery.timestamp).toBe(Number(time))
      else expect(Math.abs(delivery.timestamp - before)).toBeLessThan(120_000)
    }
  })

  test('what we write is read by it: bytes, keys, headers as attributes, event time, and what is ours', async () => {
    const adapter = await opened({ orderedTopics: ['*'] })
    const topic = await createTopic(adapter, 2)
    const name = unique('python')
    await foreignClient().topic(topic).createSubscription(name, { enableMessageOrdering: true })
    const stamp = encodeStamp('\u00ff\u0000producer-id-12', 7, 1_700_000_000_000, undefined, false)
    const key = Buffer.from('schlüssel')
    await send(adapter, [
      record(topic, 1, every, { key, headers: { größe: Buffer.from('✓') }, timestamp: 1_700_000_000_123, stamp }),
      record(topic, 1, '', { timestamp: 0 }),
      record(topic, 1, null, { key }),
      record(topic, 1, 'binary key', { key: Buffer.from([0xff, 0x00]) })
    ])
    const rows = await python(['read', path('subscriptions', name), '4'])
    const ours = { tidemark_partition: '1', '~e': '1700000000000' }
    expect(rows.map(({ value, key: ordering, attributes }) => ({ value, key: ordering, attributes }))).toEqual([
      {
        value: base64(every),
        key: '1',
        attributes: {
          ...ours,
          '~e': '1700000000123',
          '~k': 'schlüssel',
          größe: '✓',
          '~s': stamp.toString('base64url')
        }
      },
      { value: '', key: '1', attributes: { ...ours, '~e': '0' } },
      { value: '', key: '1', attributes: { ...ours, '~k': 'schlüssel', '~t': '1' } },
      { value: base64('binary key'), key: '1', attributes: { ...ours, '~k64': '_wA' } }
    ])
  })

  test('a pipeline reads what both of us write to one topic', async () => {
    const orders = defineTopic(unique('orders'), { key: textCodec, value: json<{ by: string }>(), partitions: 2 })
    const seen = new Map<string, number>()
    const app = pipeline(unique('app'), [
      sink({
        name: 'count',
        from: orders,
        write(records) {
          for (const { value } of records) seen.set(value.by, (seen.get(value.by) ?? 0) + 1)
        }
      })
    ])
    const client = await connect({ brokers: { default: url }, store: 'memory:' })
    atEnd(() => client.close())
    await client.admin.prepare(app)
    const producer = await client.producer(orders)
    const stop = new AbortController()
    const run = client.run(app, { signal: stop.signal, vitalsInterval: 100 })
    await producer.sendAll(Array.from({ length: 100 }, (_, index) => ({ key: `k${index}`, value: { by: 'us' } })))
    await python(
      ['write', path('topics', orders.name)],
      Array.from({ length: 100 }, (_, index) => ({ key: `k${index % 5}`, value: base64('{"by":"python"}') }))
    )
    await until(async () => (seen.get('us') ?? 0) + (seen.get('python') ?? 0) >= 200)
    stop.abort()
    await run
    expect(Object.fromEntries(seen)).toEqual({ us: 100, python: 100 })
  })
})
