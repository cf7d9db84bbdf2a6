import { EventHubProducerClient } from '@azure/event-hubs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { EventBatch } from '../../../src/adapters/eventhubs/client.ts'
import { openPublication } from '../../../src/adapters/eventhubs/publication.ts'
import { toEvent } from '../../../src/adapters/eventhubs/records.ts'
import type { OutgoingRecord } from '../../../src/core/record.ts'
import { createTopic, readAll, record, send } from '../../support/records.ts'
import { notRun, opened, OwnServer, running } from './server.ts'

const own = new OwnServer()

/** Those of the vendor, which nobody else must use. */
interface Inside extends EventBatch {
  readonly sizeInBytes: number
  _generateMessage(): Buffer
}

const bytes = fc.uint8Array({ maxLength: 40 })
const anyBytes = fc.oneof(
  bytes,
  fc.string().map(text => Buffer.from(text)),
  fc.uint8Array({ minLength: 250, maxLength: 260 })
)
const anyRecord = fc.record({
  key: fc.option(anyBytes),
  value: fc.option(
    fc.oneof(
      anyBytes,
      fc.constantFrom(255, 256, 70_000).map(size => Buffer.alloc(size))
    )
  ),
  stamp: fc.option(fc.uint8Array({ minLength: 20, maxLength: 47 }), { nil: undefined }),
  headers: fc.dictionary(
    fc.oneof(
      // The one that is no application property.
      { arbitrary: fc.constant('content-type'), weight: 1 },
      {
        arbitrary: fc
          .string({ minLength: 1, maxLength: 300 })
          .filter(name => !name.startsWith('~') && name !== '__proto__'),
        weight: 4
      }
    ),
    fc.oneof(
      anyBytes,
      fc.string({ unit: 'binary-ascii', maxLength: 201 }).map(text => Buffer.from(text))
    ),
    { maxKeys: 4 }
  )
})

describe.skipIf(!running)(`records as events${notRun}`, () => {
  it('are encoded to the bytes that the client would make of them', async () => {
    const topic = await createTopic(await own.open())
    const client = new EventHubProducerClient(own.server.connectionString, topic)
    const newBatch = async (): Promise<Inside> => (await client.createBatch({ partitionId: '0' })) as unknown as Inside
    try {
      await fc.assert(
        fc.asyncProperty(fc.array(anyRecord, { minLength: 1, maxLength: 5 }), async parts => {
          const records = parts.map(part => ({ ...record(topic, 0, 'x'), ...part })) as OutgoingRecord[]
          const theirs = await newBatch()
          for (const each of records) expect(theirs.tryAdd(toEvent(each))).toBe(true)
          const publication = openPublication(await newBatch())
          for (const each of records) expect(publication.add(each)).toBe(true)
          const ours = publication.batch() as Inside
          expect(ours._generateMessage().equals(theirs._generateMessage())).toBe(true)
          expect([ours.count, ours.sizeInBytes]).toEqual([theirs.count, theirs.sizeInBytes])
        }),
        { numRuns: 300 }
      )
    } finally {
      await client.close()
    }
  })

  it('fill a publication to its last byte, and not beyond', async () => {
    const topic = await createTopic(await own.open())
    const client = new EventHubProducerClient(own.server.connectionString, topic)
    const batch = (await client.createBatch({ partitionId: '0' })) as unknown as EventBatch
    const fits = (size: number): boolean => openPublication(batch).add(record(topic, 0, Buffer.alloc(size)))
    let size = batch.maxSizeInBytes
    while (!fits(size)) size--
    const publication = openPublication(batch)
    publication.add(record(topic, 0, Buffer.alloc(size)))
    expect((publication.batch() as Inside).sizeInBytes).toBe(batch.maxSizeInBytes)
    expect(publication.add(record(topic, 0, ''))).toBe(false)
    await client.sendBatch(publication.batch() as never)
    await client.close()
  })

  it('go the public way where the client has no other', async () => {
    // A client whose batches show nothing but what is public.
    class Closed extends EventHubProducerClient {
      override async createBatch(options: any): Promise<any> {
        const batch = await super.createBatch(options)
        return {
          inner: batch,
          get count() {
            return batch.count
          },
          maxSizeInBytes: batch.maxSizeInBytes,
          tryAdd: (event: any) => batch.tryAdd(event)
        }
      }
      override sendBatch(batch: any, options: any): Promise<void> {
        return super.sendBatch(batch.inner, options)
      }
    }
    const module = await import('@azure/event-hubs')
    const { fromUrl } = await import('../../../src/adapters/eventhubs/index.ts')
    const client = { ...module, EventHubProducerClient: Closed } as never
    const adapter = await opened({ ...fromUrl(own.server.url), client })
    const topic = await createTopic(adapter)
    const headers = {
      'content-type': Buffer.from('avro/binary+1'),
      text: Buffer.from('é'),
      bytes: Buffer.from([0, 255])
    }
    const written = [
      record(topic, 0, 'first', { key: Buffer.from('key'), headers, stamp: Buffer.alloc(33, 9) }),
      record(topic, 0, null, { key: Buffer.from([0, 255]) }),
      record(topic, 0, Buffer.alloc(600_000)),
      record(topic, 0, Buffer.alloc(600_000))
    ]
    await send(adapter, written)
    const read = await readAll(adapter, topic)
    expect(read).toHaveLength(4)
    for (const [index, each] of read.entries()) {
      const { key, value, headers, stamp } = written[index]!
      const plain = (part: Uint8Array | null | undefined): string | null | undefined =>
        part && Buffer.from(part).toString('hex')
      expect([plain(each.key), plain(each.value), plain(each.stamp)]).toEqual([plain(key), plain(value), plain(stamp)])
      expect(Object.keys(each.headers)).toEqual(Object.keys(headers))
      for (const name in headers) expect(plain(each.headers[name])).toBe(plain(headers[name]))
    }
  })
})
