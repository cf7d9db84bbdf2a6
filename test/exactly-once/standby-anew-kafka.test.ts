/** What a standby on a real Kafka has of a changelog that is deleted and made anew. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sleep, systemEnvironment } from '../../src/core/environment.ts'
import { BrokerStore, changelogTopic, type TaskLog } from '../../src/exactly-once/index.ts'
import { notRun, open, running, unique, type KafkaAdapter } from '../adapters/kafka/server.ts'
import { commitOf, row, rowsOf } from './stores.ts'

describe.runIf(running)(`a standby on Kafka${notRun}`, () => {
  let adapter: KafkaAdapter
  beforeAll(async () => void (adapter = await open()))
  afterAll(() => adapter.close())

  async function fill(log: TaskLog, name: string, count: number): Promise<void> {
    for (let number = 1; number <= count; number++)
      expect(await log.append(commitOf(number, { state: [row(`${name} ${number}`, `${number}`)] }))).toBe('ok')
  }

  it.each([3, 12])(
    'has nothing that counts when the changelog was made anew, with %i commits',
    async commits => {
      const pipeline = unique('anew')
      const task = { id: `${pipeline}/s/0`, pipeline, stage: 's', ordinal: 0 }
      const topic = changelogTopic(pipeline, 's')
      const admin = adapter.admin()
      await admin.createTopic({ topic, partitions: 1, compacted: true })
      const plain = new BrokerStore(adapter, 1)
      await fill(await plain.acquire(task), 'old', 6)
      const store = new BrokerStore(adapter, 1, { environment: systemEnvironment, maxBytes: 1_000_000 })
      store.standby!.open([task])
      const late = AbortSignal.timeout(20_000)
      while (!store.standby!.following.includes(task.id)) await sleep(systemEnvironment, 50, late)
      await admin.deleteTopic(topic)
      await admin.createTopic({ topic, partitions: 1, compacted: true })
      await admin.close()
      await fill(await plain.acquire(task), 'new', commits)
      const log = await store.acquire(task)
      expect(log.last!.number).toBe(commits)
      const right = Array.from({ length: commits }, (_, index) => `total new ${index + 1} ${index + 1}`)
      expect((await rowsOf(log)).toSorted()).toEqual(right.toSorted())
      await log.close()
      await store.close()
    },
    60_000
  )
})
