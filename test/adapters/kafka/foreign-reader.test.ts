import { Kafka, logLevel } from 'kafkajs'
import { describe, expect, inject, it } from 'vitest'
import { kafkaHarness } from '../../testing/harnesses.ts'
import { CaseContext } from '../../../src/testing/conformance/context.ts'
import { Bank } from '../../../src/testing/conformance/pipelines/bank.ts'
import { ledger } from '../../../src/testing/conformance/pipelines/ledger.ts'

const server = inject('kafka')

describe.skipIf(server.state !== 'running')('a read_committed reader that is not ours', () => {
  it('sees every committed line once, although a worker was killed with transactions open', async () => {
    if (server.state !== 'running') return
    const harness = await kafkaHarness({ url: server.url, stop: async () => {} })
    const context = new CaseContext(harness, AbortSignal.timeout(60_000))
    const name = context.name('foreign')
    const book = ledger(name)
    const deposits = 600
    try {
      const bank = new Bank(context, 'broker')
      const producer = await bank.producer(book)
      const job = { name, store: 'broker', sessionTimeout: context.sessionTimeout, pace: 1 }
      const first = context.worker(harness.spawnWorker!(job))
      await bank.deposit(producer, 0, deposits)
      while ((await bank.lines(book)).length < 100) await context.sleep(20)
      first.kill('SIGKILL')
      const second = context.worker(harness.spawnWorker!(job))
      await producer.close()
      while ((await bank.lines(book)).length < deposits) await context.sleep(20)
      second.kill('SIGTERM')
      expect(await second.exited).toBe(0)
    } finally {
      await context.close()
    }
    const lines = await readCommitted(server.url, book.lines.name, deposits)
    const accounts = Map.groupBy(lines, line => line.account)
    for (const history of accounts.values())
      expect(history.map(({ line }) => line)).toEqual(history.map((_, index) => index + 1))
    expect(lines).toHaveLength(deposits)
  }, 90_000)
})

/** Everything that kafkajs's own consumer gives, until its position has reached the end of each partition. */
async function readCommitted(
  url: string,
  topic: string,
  atLeast: number
): Promise<{ account: string; line: number }[]> {
  const kafka = new Kafka({ brokers: [new URL(url).host], logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  const ends = new Map((await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => [partition, Number(high)]))
  await admin.disconnect()
  const consumer = kafka.consumer({ groupId: `foreign-${topic}`, readUncommitted: false, maxWaitTimeInMs: 100 })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const lines: { account: string; line: number }[] = []
  const open = new Set([...ends].flatMap(([partition, end]) => (end > 0 ? [partition] : [])))
  const { promise, resolve } = Promise.withResolvers<void>()
  await consumer.run({
    eachBatch: async ({ batch }) => {
      for (const { key, value } of batch.messages)
        lines.push({ account: key!.toString(), line: JSON.parse(value!.toString()).line })
      // The last offset of a partition is the marker of its last transaction, which no consumer is given.
      if (Number(batch.lastOffset()) >= ends.get(batch.partition)! - 2) open.delete(batch.partition)
      if (open.size === 0 && lines.length >= atLeast) resolve()
    }
  })
  await promise
  await consumer.disconnect()
  return lines
}
