import { describe, expect, it } from 'vitest'
import { createTopic, numbers, readAll, record, send, sendFailure, texts, unique } from '../../support/records.ts'
import { failure, rejection } from '../../support/failure.ts'
import { notRun, opened, OwnServer, reader, running, take } from './server.ts'

const own = new OwnServer()
const throttled = { code: 'throttled', retryable: true }

describe.skipIf(!running)(`errors of Event Hubs${notRun}`, () => {
  it('no hub, and a partition that the hub does not have', async () => {
    const adapter = await own.open()
    const nowhere = unique('nowhere')
    const error = await sendFailure(adapter, numbers(nowhere, 0, 1))
    expect(adapter.classify(error)).toEqual({ code: 'unknown-topic', retryable: false })
    expect(String(error)).toContain(`writing to hub '${nowhere}': The messaging entity`)
    const topic = await createTopic(adapter, 2)
    for (const wrong of [
      await sendFailure(adapter, numbers(topic, 2, 1)),
      await rejection(reader(adapter, topic, { partition: 2 }))
    ])
      expect(adapter.classify(wrong)).toEqual({ code: 'unknown-topic', retryable: false })
  })

  it('no permission: a policy that may only read does not write, and the other way round', async () => {
    const topic = await createTopic(await own.open(), 1)
    const listener = await opened({ connectionString: own.server.connectionStringOf('listener') })
    const refused = await sendFailure(listener, numbers(topic, 0, 1))
    expect(listener.classify(refused)).toEqual({ code: 'unauthorized', retryable: false })
    expect(String(refused)).toMatch(/'Send' claim.*check the credential/s)
    expect(await readAll(listener, topic)).toEqual([])

    const sender = await opened({ connectionString: own.server.connectionStringOf('sender') })
    await send(sender, numbers(topic, 0, 1))
    const receive = async (): Promise<unknown> => take(await reader(sender, topic), 1)
    expect(await failure(receive)).toMatchObject({ code: 'unauthorized', retryable: false })
  })

  it('a connection that was lost between two steps of the vendor client, or in the middle of a frame, which names no code for it', async () => {
    const adapter = await own.open()
    for (const text of [
      'Attempted to negotiate a claim but the CBS link does not exist.',
      'An error occurred while closing the cbs link: {}.',
      'Invalid protocol header for AMQP: 00000027'
    ])
      expect(adapter.classify(new Error(text))).toEqual({ code: 'connection', retryable: true })
  })

  it('a wrong key', async () => {
    const wrong = await opened({
      connectionString: own.server.connectionString.replace('SAS_KEY_VALUE', 'another'),
      requestTimeout: 3_000
    })
    const error = await sendFailure(wrong, numbers('any', 0, 1))
    expect(wrong.classify(error)).toEqual({ code: 'unauthorized', retryable: false })
    expect(String(error)).not.toContain('another')
  })

  it('throttled: nothing of the publication is written, and it may be sent again', async () => {
    const adapter = await own.open()
    const topic = await createTopic(adapter, 1)
    await own.server.control('throttle', { hub: topic, count: 1 })
    const error = await sendFailure(adapter, numbers(topic, 0, 3))
    expect(adapter.classify(error)).toEqual(throttled)
    expect(String(error)).toContain('more throughput units')
    expect(await readAll(adapter, topic)).toEqual([])
    await send(adapter, numbers(topic, 0, 3))
    expect(texts(await readAll(adapter, topic))).toEqual(['0', '1', '2'])
  })

  it('too large for one publication, and just not', async () => {
    const adapter = await own.open()
    const topic = await createTopic(adapter, 1)
    const largest = record(topic, 0, Buffer.alloc(1_048_576 - 300))
    adapter.check!(largest)
    await send(adapter, [largest])
    expect((await readAll(adapter, topic))[0]!.value!.byteLength).toBe(1_048_576 - 300)
    const larger = record(topic, 0, Buffer.alloc(1_048_576))
    expect(() => adapter.check!(larger)).toThrow(/takes about 1048832 bytes/)
    const error = await sendFailure(adapter, [larger])
    expect(adapter.classify(error)).toEqual({ code: 'too-large', retryable: false })
    const headers = { huge: Buffer.alloc(1_048_400) }
    expect(() => adapter.check!(record(topic, 0, 'x', { headers }))).toThrow(/takes about/)
  })

  it('what passes the check is taken, whatever it is made of', async () => {
    const adapter = await own.open()
    const topic = await createTopic(adapter, 1)
    const stamp = Buffer.alloc(47, 0xff)
    const parts = [
      { key: Buffer.alloc(200_000, 'k') },
      {
        key: Buffer.alloc(300, 0xff),
        headers: { größe: Buffer.alloc(70_000, 0xfe), text: Buffer.from('é'.repeat(400)) }
      },
      { headers: Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`header-${index}`, Buffer.from('x')])) }
    ]
    for (const part of parts) {
      let [fits, over] = [0, 1_048_576]
      while (over - fits > 1) {
        const middle = (fits + over) >> 1
        try {
          adapter.check!(record(topic, 0, Buffer.alloc(middle), part))
          fits = middle
        } catch {
          over = middle
        }
      }
      await send(adapter, [record(topic, 0, Buffer.alloc(fits), { ...part, stamp })])
    }
    expect(await readAll(adapter, topic)).toHaveLength(3)
  })

  it('a send that is never answered is a timeout; the next one goes through', async () => {
    const adapter = await own.open({ requestTimeout: 1_500 })
    const topic = await createTopic(adapter, 1)
    await send(adapter, numbers(topic, 0, 1))
    await own.server.control('silence', { hub: topic, count: 1 })
    const started = performance.now()
    const error = await sendFailure(adapter, numbers(topic, 0, 1, 1))
    expect(adapter.classify(error)).toEqual({ code: 'timeout', retryable: true })
    expect(performance.now() - started).toBeLessThan(4_000)
    await send(adapter, numbers(topic, 0, 1, 2))
    // The middle one was written, though nobody said so: the front would send it again, and readers drop the repeat.
    expect(texts(await readAll(adapter, topic))).toEqual(['0', '1', '2'])
  })

  it('a partition that is stolen: the reader with the lower owner level is fenced, and a lower one is not let in', async () => {
    const adapter = await own.open()
    const topic = await createTopic(adapter, 1)
    await send(adapter, numbers(topic, 0, 3))
    const old = await reader(adapter, topic, { owner: { group: 'orders', epoch: 7 } })
    expect(texts(await take(old, 3))).toEqual(['0', '1', '2'])
    const young = await reader(adapter, topic, { owner: { group: 'orders', epoch: 8 } })
    expect(await take(young, 3)).toHaveLength(3)
    const fenced = await failure(() => take(old, 1))
    expect(fenced).toMatchObject({ code: 'fenced', retryable: false })
    expect(fenced.message).toMatch(/reading partition 0 of hub .* higher owner level/)
    const late = await reader(adapter, topic, { owner: { group: 'orders', epoch: 6 } })
    expect(await failure(() => take(late, 1))).toMatchObject({ code: 'fenced' })
    await send(adapter, numbers(topic, 0, 1, 3))
    expect(texts(await take(young, 1))).toEqual(['3'])
  })

  it('a hub that is deleted under its reader and its producer', async () => {
    const adapter = await own.open()
    const topic = await createTopic(adapter, 1)
    const producer = await adapter.producer()
    await producer.send(numbers(topic, 0, 1))
    const reading = await reader(adapter, topic)
    await take(reading, 1)
    await adapter.admin().deleteTopic(topic)
    expect(await failure(() => take(reading, 1))).toMatchObject({ code: 'unknown-topic', retryable: false })
    const [result] = await producer.send(numbers(topic, 0, 1))
    expect(adapter.classify((result as { error?: unknown }).error)).toMatchObject({ code: 'unknown-topic' })
  })

  it('without the management API hubs are neither made, deleted nor listed, and the sentence says what does', async () => {
    const adapter = await opened({ connectionString: own.server.connectionString })
    const admin = adapter.admin()
    for (const call of [
      () => admin.createTopic({ topic: 'trades', partitions: 4 }),
      () => admin.deleteTopic('trades'),
      () => admin.listTopics()
    ]) {
      const error = await failure(call)
      expect(error).toMatchObject({ code: 'unsupported', retryable: false })
      expect(error.message).toMatch(/management API only\. Create it with the portal.*option 'management'/)
    }
  })
})
