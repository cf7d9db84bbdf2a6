/**
 * The broker is killed with 500 sends in flight and started again on its data; the sender goes on by itself. Nothing may
 * be lost or, behind a reader that drops repeats, doubled; with broker deduplication nothing is doubled in the topic
 * either. `TIDEMARK_CRASHES` says how often; default 10 in CI, else 3.
 */
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { fromUrl, pulsar } from '../../../src/adapters/pulsar/index.ts'
import { Sender } from '../../../src/broker/index.ts'
import { systemEnvironment, uuidv7Bytes } from '../../../src/core/environment.ts'
import type { OutgoingRecord, RawRecord } from '../../../src/core/record.ts'
import { decodeStamp, encodeStamp } from '../../../src/core/stamp.ts'
import { type PulsarServer, startPulsar } from '../../../testcontainers/pulsar.ts'
import { type PulsarAdapter, readAll, record, texts, unique } from './server.ts'

const shared = inject('pulsar')
const crashes = Number(process.env.TIDEMARK_CRASHES ?? (process.env.CI ? 10 : 3))
const count = 4_000
const maxInFlight = 500

/** As the pipeline does: by producer and sequence, out of order included. */
function withoutRepeats(records: readonly RawRecord[]): RawRecord[] {
  const seen = new Set<string>()
  return records.filter(({ stamp }) => {
    const { producer, sequence } = decodeStamp(stamp!)
    const id = `${producer} ${sequence}`
    return !seen.has(id) && seen.add(id)
  })
}

describe.skipIf(shared.state !== 'running')('a broker that is killed with 500 sends in flight', () => {
  let server: PulsarServer

  beforeAll(async () => {
    server = await startPulsar()
  })
  afterAll(() => server?.stop())

  async function connected(deduplication: boolean): Promise<PulsarAdapter> {
    const adapter = pulsar({ ...fromUrl(server.url), deduplication, maxInFlight, requestTimeout: 10_000 })
    await adapter.open(systemEnvironment)
    return adapter
  }

  async function start(deduplication: boolean) {
    const adapter = await connected(deduplication)
    const topic = unique('crash')
    await adapter.admin().createTopic({ topic, partitions: 1 })
    const producer = uuidv7Bytes(systemEnvironment).toString('latin1')
    const records: OutgoingRecord[] = Array.from({ length: count }, (_, index) =>
      record(topic, 0, String(index), { stamp: encodeStamp(producer, index + 1, 1_700_000_000_000, undefined, false) })
    )
    const sender = new Sender(adapter, systemEnvironment)
    const progress = { acknowledged: 0 }
    const done = new Promise<void>((resolve, reject) => {
      for (const each of records)
        sender.enqueue(each, error => {
          if (error) reject(error)
          if (++progress.acknowledged === count) resolve()
        })
    })
    return { adapter, topic, sender, progress, done }
  }

  test.each(Array.from({ length: crashes }, (_, index) => index + 1))(
    'crash %i: 0 lost, 0 doubled',
    { timeout: 180_000 },
    async number => {
      const [plain, deduplicated] = [await start(false), await start(true)]
      // All results of a batch come together: the topic itself tells how far it is.
      const stored = async (topic: string): Promise<number> => {
        const path = `persistent/public/default/${topic}-partition-0/lastMessageId`
        const answer = await fetch(`http://${new URL(server.url).host}/admin/v2/${path}`)
        return ((await answer.json()) as { entryId: number }).entryId + 1
      }
      const killAt = 1 + Math.floor(Math.random() * 2_500)
      while ((await stored(number % 2 === 0 ? plain.topic : deduplicated.topic)) < killAt);
      const acknowledged = plain.progress.acknowledged + deduplicated.progress.acknowledged
      await server.kill()
      expect(acknowledged, 'all was written before the broker was killed').toBeLessThan(2 * count)
      await server.restart()
      await Promise.all([plain.done, deduplicated.done])

      const raw = await readAll(plain.adapter, plain.topic)
      const expected = Array.from({ length: count }, (_, index) => String(index))
      expect(texts(withoutRepeats(raw))).toEqual(expected)
      const exact = await readAll(deduplicated.adapter, deduplicated.topic)
      expect(texts(exact)).toEqual(expected)
      console.log(
        `crash ${number} at ${killAt} of ${count}: ${raw.length} stored without deduplication, ${exact.length} with it`
      )
      for (const { sender, adapter } of [plain, deduplicated]) {
        await sender.close()
        await adapter.close()
      }
    }
  )
})
