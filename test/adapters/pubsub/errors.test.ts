/** What the service says, as our codes; each is tried, by the way that users meet it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { AnyAdapter } from '../../../src/spec/index.ts'
import { fromUrl, pubsub } from '../../../src/adapters/pubsub/index.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import { StreamError } from '../../../src/core/errors.ts'
import { connect, text, topic as defineTopic } from '../../../src/index.ts'
import {
  atEnd,
  createTopic,
  failure,
  foreignClient,
  notRun,
  opened,
  record,
  running,
  sendFailure,
  subscribe,
  unique,
  url
} from './server.ts'

async function refusalOf(adapter: AnyAdapter, call: () => Promise<unknown>): Promise<[string, boolean]> {
  const { code, retryable } = adapter.classify(await failure(call()))
  return [code, retryable]
}

describe.skipIf(!running)(`errors of Pub/Sub${notRun}`, () => {
  const kinds = [
    ['permission-denied', 'unauthorized', false],
    ['unauthenticated', 'unauthorized', false],
    ['resource-exhausted', 'throttled', true],
    ['unavailable', 'connection', true]
  ] as const

  test.for(kinds)('%s', async ([name, code, retryable]) => {
    const adapter = await opened()
    const admin = adapter.admin()
    const topic = `${unique('orders')}-${name}`
    const refused = [code, retryable]
    expect(await refusalOf(adapter, () => admin.createTopic({ topic, partitions: 1 }))).toEqual(refused)
    expect(await refusalOf(adapter, () => admin.describeTopic(topic))).toEqual(refused)
    expect(await refusalOf(adapter, () => admin.deleteTopic(topic))).toEqual(refused)
    expect(await refusalOf(adapter, () => admin.ensureGroup!('group', topic))).toEqual(refused)
    expect(adapter.classify(await sendFailure(adapter, [record(topic, 0, 'x')]))).toEqual({ code, retryable })
    const reader = { topic, partition: 0, from: 'latest', readCommitted: false, maxBytes: 1000 } as const
    expect(await refusalOf(adapter, () => adapter.partitionReader!(reader))).toEqual(refused)

    // The topic is fine, its subscription is not: the stream says so, and the message what to do.
    const fine = await createTopic(adapter)
    const plain = await opened({ subscriptions: { [fine]: topic } })
    const subscription = await subscribe(plain, fine)
    const read = (): Promise<unknown> => subscription.receive({ wait: 5_000 })
    const error = await failure(read())
    expect(plain.classify(error)).toEqual({ code, retryable })
    expect(String(error)).toContain(`pulling from projects/tidemark-test/subscriptions/${topic}`)
    if (code === 'unauthorized') expect(String(error)).toMatch(/check the credentials and the roles pubsub\.publisher/)
    if (code === 'throttled') expect(String(error)).toMatch(/quota of the project is used up/)
    // Asked again, it tries again.
    expect(await refusalOf(plain, read)).toEqual(refused)
  })

  test('a topic that is not there, a subscription that is not there, or not any more', async () => {
    const adapter = await opened()
    const nowhere = unique('nowhere')
    expect(adapter.classify(await sendFailure(adapter, [record(nowhere, 0, 'x')])).code).toBe('unknown-topic')
    expect(await refusalOf(adapter, () => subscribe(adapter, nowhere))).toEqual(['unknown-topic', false])
    const topic = await createTopic(adapter)
    const plain = await opened({ subscriptions: { [topic]: unique('never') } })
    const read = async (): Promise<unknown> => (await subscribe(plain, topic)).receive({ wait: 5_000 })
    expect(await refusalOf(plain, read)).toEqual(['unknown-topic', false])

    const subscription = await subscribe(adapter, topic)
    await subscription.receive({ wait: 100 })
    const [[found]] = await foreignClient().topic(topic).getSubscriptions()
    await found!.delete()
    const deleted = async (): Promise<void> => {
      for (const end = performance.now() + 10_000; performance.now() < end;) await subscription.receive({ wait: 500 })
    }
    expect(await refusalOf(adapter, deleted)).toEqual(['unknown-topic', false])
  })

  test('a topic that is there already, and settings that are none', async () => {
    const adapter = await opened()
    const admin = adapter.admin()
    const topic = await createTopic(adapter)
    expect(await refusalOf(adapter, () => admin.createTopic({ topic, partitions: 1 }))).toEqual(['topic-exists', false])
    const create = (settings: Record<string, string>) => (): Promise<void> =>
      admin.createTopic({ topic: unique('t'), partitions: 1, settings })
    const odd = await failure(create({ 'retention.ms': '5' })())
    expect(odd).toMatchObject({
      code: 'bad-config',
      message: expect.stringMatching(/'retention\.ms'; known are messageRet/)
    })
    expect(await refusalOf(adapter, create({ messageRetentionDuration: 'a week' }))).toEqual(['bad-config', false])
    const made = unique('made')
    await admin.createTopic({
      topic: made,
      partitions: 3,
      settings: { messageRetentionDuration: '86400s', 'labels.team': 'orders' }
    })
    const [metadata] = await foreignClient().topic(made).getMetadata()
    expect(metadata.labels).toEqual({ 'tidemark-partitions': '3', team: 'orders' })
    expect(Number(metadata.messageRetentionDuration!.seconds)).toBe(86_400)
  })

  test('a topic without our label has no partition count, and the way to one', async () => {
    const adapter = await opened()
    const topic = unique('foreign')
    await foreignClient().createTopic(topic)
    const found = await adapter.admin().describeTopic(topic)
    expect(found).toEqual({ topic, partitions: undefined, advice: expect.stringContaining('tidemark-partitions=4') })
    await using client = await connect({ brokers: { default: url }, store: 'memory:' })
    const refused = await failure(client.producer(defineTopic(topic, { key: text, value: text })))
    expect(refused).toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining(`gcloud pubsub topics update ${topic} --update-labels=tidemark-partitions=4`)
    })
  })

  test('what the service would refuse as too large', async () => {
    const adapter = await opened()
    for (const message of [
      'The value for message_size is too large. You passed 10000001 in the request, but the maximum value is 10000000.',
      'Request payload size exceeds the limit: 10485760 bytes.'
    ]) {
      const error = Object.assign(new Error(`3 INVALID_ARGUMENT: ${message}`), { code: 3, details: message })
      expect(adapter.classify(error)).toEqual({ code: 'too-large', retryable: false })
    }
    const other = Object.assign(new Error('3 INVALID_ARGUMENT: You have passed an invalid argument'), {
      code: 3,
      details: 'You have passed an invalid argument'
    })
    expect(adapter.classify(other)).toEqual({ code: 'bad-config', retryable: false })
    // A number that is no status of gRPC, and an error in an error.
    expect(adapter.classify(Object.assign(new Error('x'), { code: 14 })).code).toBe('internal')
    expect(adapter.classify(new Error('x', { cause: other })).code).toBe('bad-config')
    expect(adapter.classify(new Error('x', { cause: new StreamError('fenced', 'x') })).code).toBe('fenced')
    for (const nothing of [undefined, null, 7, 'x', {}]) expect(adapter.classify(nothing).code).toBe('internal')
  })

  test('no credentials', async () => {
    const { classify } = await opened()
    for (const message of [
      'Could not load the default credentials. Browse to https://cloud.google.com/docs for more information.',
      'Unable to detect a Project Id in the current environment.',
      'invalid_grant: Invalid JWT Signature.'
    ])
      expect(classify(new Error(message))).toEqual({ code: 'unauthorized', retryable: false })
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-key-'))
    atEnd(() => rm(folder, { recursive: true }))
    const odd = join(folder, 'key.json')
    await writeFile(odd, 'hunter2 {')
    for (const [keyFile, why] of [
      [join(folder, 'nowhere.json'), 'ENOENT'],
      [odd, 'it is no JSON']
    ] as const) {
      const adapter = pubsub({ projectId: 'shop', keyFile })
      const error = await failure(adapter.open(systemEnvironment))
      expect(error).toMatchObject({ code: 'bad-config', message: `pubsub: option 'keyFile' cannot be read: ${why}` })
      await adapter.close()
    }
  })

  test('the module can be handed in, and the client, which stays the user’s', async () => {
    const module = (await import('@google-cloud/pubsub')) as never
    const withModule = await opened({ client: module })
    const topic = await createTopic(withModule)
    const mine = foreignClient()
    const { projectId: _, emulator: __, ...rest } = fromUrl(url)
    const adapter = pubsub({ ...rest, client: mine as never })
    await adapter.open(systemEnvironment)
    expect(adapter.native).toBe(mine)
    expect(await adapter.admin().describeTopic(topic)).toEqual({ topic, partitions: 1 })
    await adapter.close()
    expect((await mine.topic(topic).exists())[0], 'it is not closed with the adapter').toBe(true)
  })
})
