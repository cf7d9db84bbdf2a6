import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { encodeStamp } from '../../../src/core/stamp.ts'
import { bytes, connect, pipeline, sink, topic, type Diagnostics, type GapPolicy } from '../../../src/index.ts'
import { broker, failure, notRun, open, record, running } from './server.ts'

const producer = 'fedcba9876543210'

/** A topic with records 1, 2, 3 and 7, 8 of a producer of ours: what a torn transaction, or a broker that has lost some, leaves behind. */
async function torn(compacted: boolean): Promise<string> {
  const adapter = await open()
  const name = `torn-${Math.random().toString(36).slice(2)}`
  await adapter.admin().createTopic({ topic: name, partitions: 1, compacted })
  const writer = await adapter.producer()
  await writer.send(
    [1, 2, 3, 7, 8].map(sequence => ({
      ...record(name, 0, `${sequence}`),
      key: Buffer.from(`key ${sequence}`),
      stamp: encodeStamp(producer, sequence, Date.now(), undefined, false)
    }))
  )
  await writer.close()
  await adapter.close()
  return name
}

/** Reads it to its end; gives what was told as lost. */
async function read(name: string, gaps?: GapPolicy): Promise<{ seen: number; lost: Diagnostics['records-lost'][] }> {
  const lost: Diagnostics['records-lost'][] = []
  const hear = (event: unknown): void => {
    if ((event as Diagnostics['records-lost']).topic === name) lost.push(event as Diagnostics['records-lost'])
  }
  subscribe('tidemark:records-lost', hear)
  onTestFinished(() => void unsubscribe('tidemark:records-lost', hear))
  const from = topic(name, { key: bytes, value: bytes, ...(gaps && { gaps }) })
  const client = await connect({ brokers: { default: `kafka://${broker}` }, store: 'memory:', variables: {} })
  const stop = new AbortController()
  let seen = 0
  const stage = sink({ name: 'read', from, write: batch => void (seen += batch.length) })
  const running = client.run(pipeline(`gaps-${name}`, [stage]), { signal: stop.signal, handleSignals: false })
  running.catch(() => {}) // told below
  const patience = performance.now() + 20_000
  while (seen < 5 && performance.now() < patience) {
    const ended = await Promise.race([running.then(() => true), sleep(20, false)])
    if (ended) break
  }
  stop.abort()
  await running.finally(() => client.close())
  return { seen, lost }
}

describe.runIf(running)(`records that are missing from Kafka${notRun}`, () => {
  it('are counted as lost and told by their numbers, though the client of the broker says nothing', async () => {
    const { seen, lost } = await read(await torn(false))
    expect(seen).toBe(5)
    expect(lost).toMatchObject([{ partition: 0, producer: Buffer.from(producer).toString('hex'), from: 4, to: 6 }])
  }, 60_000)

  it('end the run with their names where the topic says to stall', async () => {
    const name = await torn(false)
    expect(await failure(read(name, 'stall'))).toMatchObject({
      code: 'records-lost',
      retryable: false,
      message: expect.stringContaining(
        `records 4 to 6 of producer ${Buffer.from(producer).toString('hex')} are missing from '${name}', partition 0`
      )
    })
  }, 60_000)

  it('are none on a compacted topic, which cannot be told to stall', async () => {
    const name = await torn(true)
    expect(await read(name)).toEqual({ seen: 5, lost: [] })
    expect(await failure(read(name, 'stall'))).toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining('is compacted')
    })
  }, 60_000)
})
