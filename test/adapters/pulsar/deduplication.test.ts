import { describe, expect, test } from 'vitest'
import WebSocket from 'ws'
import { decodeMessageId } from '../../../src/adapters/pulsar/positions.ts'
import { encodeStamp } from '../../../src/core/stamp.ts'
import type { OutgoingRecord } from '../../../src/core/record.ts'
import {
  admin,
  createTopic,
  failure,
  notRun,
  open,
  type PulsarAdapter,
  readAll,
  record,
  running,
  send,
  sendForeign,
  texts
} from './server.ts'

const [left, right] = ['left-producer-01', 'right-producer-1'] as const

function stamped(topic: string, producer: string, from: number, to: number): OutgoingRecord[] {
  return Array.from({ length: to - from }, (_, index) => {
    const stamp = encodeStamp(producer, from + index, 1_700_000_000_000, undefined, false)
    return record(topic, 0, `${producer[0]}${from + index}`, { stamp })
  })
}

const names = (producer: string, from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `${producer[0]}${from + index}`)

async function positions(adapter: PulsarAdapter, records: readonly OutgoingRecord[]): Promise<(string | undefined)[]> {
  const producer = await adapter.producer()
  const results = await producer.send(records)
  await producer.close()
  return results.map(result => {
    if (!result.ok) throw result.error
    return result.position
  })
}

describe.skipIf(!running)(`broker deduplication of Pulsar${notRun}`, () => {
  test('what a task sends again, from another process too, is stored once and reported as written', async () => {
    const adapter = await open({ deduplication: true })
    const topic = await createTopic(adapter)
    expect(await positions(adapter, stamped(topic, left, 1, 101))).not.toContain(undefined)
    const successor = await open({ deduplication: true })
    const again = await positions(successor, stamped(topic, left, 51, 151))
    expect(again.slice(0, 50)).toEqual(Array(50).fill(undefined))
    expect(again.slice(50)).not.toContain(undefined)
    expect(texts(await readAll(adapter, topic))).toEqual(names(left, 1, 151))
    await adapter.close()
    await successor.close()
  })

  test("the stamp's producer and sequence are Pulsar's, as anybody can see", async () => {
    const adapter = await open({ deduplication: true })
    const topic = await createTopic(adapter)
    await send(adapter, stamped(topic, left, 1, 11))
    const name = `tidemark-${Buffer.from(left, 'latin1').toString('hex')}`
    // The numbers 10 and 11 of the same producer.
    const query = `batchingEnabled=false&producerName=${name}&initialSequenceId=9`
    const ids = await sendForeign(`${topic}-partition-0`, query, [{ payload: 'dGVu' }, { payload: 'ZWxldmVu' }])
    expect(ids.map(id => decodeMessageId(Buffer.from(id, 'base64')).entry)).toEqual([-1, 10])
    expect(texts(await readAll(adapter, topic))).toEqual([...names(left, 1, 11), 'eleven'])
    await adapter.close()
  })

  test('nothing is ever batched: a batch that is cut anew for a resend is dropped whole', async () => {
    const addresses: string[] = []
    class Spy extends WebSocket {
      constructor(address: string, options: object) {
        super(address, options)
        addresses.push(address)
      }
    }
    for (const deduplication of [true, false]) {
      const adapter = await open({ deduplication, client: Spy as never })
      await send(adapter, stamped(await createTopic(adapter), left, 1, 3))
      await adapter.close()
    }
    expect(addresses.map(address => new URL(address).searchParams.get('batchingEnabled'))).toEqual(['false', 'false'])
  })

  test('producers that take turns in one partition keep the order of the batch', async () => {
    const adapter = await open({ deduplication: true })
    const topic = await createTopic(adapter)
    const batch = [
      ...stamped(topic, left, 1, 6),
      ...stamped(topic, right, 1, 4),
      record(topic, 0, 'no stamp'),
      ...stamped(topic, left, 6, 9),
      ...stamped(topic, right, 4, 6)
    ]
    expect(await positions(adapter, batch)).not.toContain(undefined)
    expect(texts(await readAll(adapter, topic))).toEqual(texts(batch as never))
    await adapter.close()
  })

  test('a hole in the numbers is no hindrance', async () => {
    const adapter = await open({ deduplication: true })
    const topic = await createTopic(adapter)
    expect(await positions(adapter, [...stamped(topic, left, 5, 8), ...stamped(topic, left, 20, 22)])).not.toContain(
      undefined
    )
    expect(await positions(adapter, stamped(topic, left, 21, 24))).toEqual([
      undefined,
      expect.any(String),
      expect.any(String)
    ])
    expect(texts(await readAll(adapter, topic))).toEqual([...names(left, 5, 8), ...names(left, 20, 24)])
    await adapter.close()
  })

  test('each partition has its own numbers', async () => {
    const adapter = await open({ deduplication: true })
    const topic = await createTopic(adapter, 2)
    const batch = stamped(topic, left, 1, 5).flatMap(each => [each, { ...each, partition: 1 }])
    expect(await positions(adapter, batch)).not.toContain(undefined)
    for (const partition of [0, 1]) expect(texts(await readAll(adapter, topic, partition))).toEqual(names(left, 1, 5))
    await adapter.close()
  })

  test('a topic that does not deduplicate is refused, and one that does by its namespace or setting is not', async () => {
    const without = await open()
    const topic = await createTopic(without)
    const adapter = await open({ deduplication: true })
    expect(await failure(send(adapter, stamped(topic, left, 1, 3)))).toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining("'deduplication'")
    })
    // Without a stamp there is nothing to tell repeats by.
    await send(adapter, [record(topic, 0, 'plain')])
    await admin('POST', `persistent/public/default/${topic}/deduplicationEnabled`, true)
    await send(adapter, stamped(topic, left, 1, 3))
    const made = await createTopic(without, 1, { deduplication: 'true' })
    await send(adapter, stamped(made, left, 1, 3))
    await adapter.close()
    await without.close()
  })

  test('without the option what is sent twice is there twice: readers of tidemark drop it', async () => {
    const adapter = await open()
    const topic = await createTopic(adapter)
    await send(adapter, stamped(topic, left, 1, 4))
    await send(adapter, stamped(topic, left, 1, 4))
    expect(texts(await readAll(adapter, topic))).toEqual([...names(left, 1, 4), ...names(left, 1, 4)])
    await adapter.close()
  })
})
