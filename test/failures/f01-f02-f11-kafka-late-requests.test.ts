/**
 * F1: an `EndTxn` that is late commits or aborts the transaction after it. F2: a `Produce` that is late leaves a transaction hanging, and its
 * readers with it. F11: the offsets of a group, read while a transaction that has written them is not ended, are old ones.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { BrokerStore, changelogTopic, type TaskLog } from '../../src/exactly-once/index.ts'
import { noHeaders, type OutgoingRecord } from '../../src/core/record.ts'
import { notRun, open, readAll, running, texts, unique, type KafkaAdapter } from '../adapters/kafka/server.ts'
import { commitOf, row, rowsOf } from '../exactly-once/stores.ts'
import { api, LateRequests } from './late-requests.ts'

describe.runIf(running)(`requests of Kafka that are late${notRun}`, () => {
  let steady: KafkaAdapter
  beforeAll(async () => void (steady = await open()))
  afterAll(() => steady.close())
  const adapters: KafkaAdapter[] = []
  afterEach(() => Promise.all(adapters.splice(0).map(adapter => adapter.close())))

  interface Scene {
    readonly network: LateRequests
    readonly log: TaskLog
    readonly out: string
    readonly output: (value: string) => OutgoingRecord
    readonly positions: (position: string) => { topic: string; partition: number; position: string }[]
    acquire(): Promise<TaskLog>
  }

  async function scene(): Promise<Scene> {
    const network = new LateRequests()
    const adapter = await open({ brokers: [], client: network.client(), requestTimeout: 1_500 })
    adapters.push(adapter)
    const out = unique('out')
    const task = { id: `${out}/s/0`, pipeline: out, stage: 's', ordinal: 0 }
    const admin = steady.admin()
    for (const topic of [out, `${out}-in`, changelogTopic(out, 's')])
      await admin.createTopic({ topic, partitions: 1, compacted: false } as never)
    await admin.close()
    const acquire = (): Promise<TaskLog> => new BrokerStore(steady, 1).acquire(task)
    return {
      network,
      log: await new BrokerStore(adapter, 1).acquire(task),
      out,
      output: value => ({
        topic: out,
        partition: 0,
        key: null,
        value: Buffer.from(value),
        headers: noHeaders,
        stamp: undefined,
        timestamp: 0
      }),
      positions: position => [{ topic: `${out}-in`, partition: 0, position }],
      acquire
    }
  }

  it('F1: the end of a transaction that was given up ends none after it, at whatever moment it arrives', async () => {
    const { network, log, out, output, acquire } = await scene()
    expect(await log.append(commitOf(1, { outputs: [output('1')], state: [row('a', '1')] }))).toBe('ok')
    const second = commitOf(2, { outputs: [output('2')], state: [row('a', '2')] })
    network.hold(api.endTransaction)
    expect(await log.append(second)).toBe('unknown')
    expect(network.held).toBe(1)
    // A new producer has ended what was open; the commit is absent, and is made again.
    expect(await log.readBack()).toMatchObject({ last: { number: 1 } })
    // The late end arrives in the middle of the next attempt, whose records are written and not ended.
    let codes: number[] = []
    network.before = { apiKey: api.endTransaction, act: async () => void (codes = await network.arrive()) }
    expect(await log.append(second)).toBe('ok')
    expect(network.before).toBeUndefined()
    // INVALID_PRODUCER_EPOCH or PRODUCER_FENCED.
    expect([47, 90]).toContain(codes[0])
    expect(await log.append(commitOf(3, { outputs: [output('3')], state: [row('b', '3')] }))).toBe('ok')
    expect(texts(await readAll(steady, out, 0))).toEqual(['1', '2', '3'])
    const next = await acquire()
    expect(next.last).toMatchObject({ number: 3 })
    expect(await rowsOf(next)).toEqual(['total a 2', 'total b 3'])
    await Promise.all([log.close(), next.close()])
  }, 30_000)

  it('F2: a write that comes after its transaction was given up is refused, and no reader waits for it', async () => {
    const { network, log, out, output } = await scene()
    expect(await log.append(commitOf(1, { outputs: [output('1')] }))).toBe('ok')
    const second = commitOf(2, { outputs: [output('2')] })
    network.hold(api.produce)
    expect(await log.append(second)).toBe('unknown')
    expect(await log.readBack()).toMatchObject({ last: { number: 1 } })
    await network.arrive()
    expect(await log.append(second)).toBe('ok')
    await network.arrive()
    // A transaction that hangs would hold readers at its first record.
    expect(await log.append(commitOf(3, { outputs: [output('3')] }))).toBe('ok')
    expect(texts(await readAll(steady, out, 0))).toEqual(['1', '2', '3'])
    await log.close()
  }, 30_000)

  it('F11: whoever takes over goes on after the last commit, not after offsets that a group was told of', async () => {
    const { network, log, out, output, positions, acquire } = await scene()
    const head = (position: string): Buffer => Buffer.from(`at ${position}`)
    const first = commitOf(1, { outputs: [output('1')], head: head('5'), positions: positions('5') })
    expect(await log.append(first)).toBe('ok')
    // Offsets and records of the second are written; its end does not come, and its owner is gone.
    network.hold(api.endTransaction)
    const second = commitOf(2, { outputs: [output('2')], head: head('9'), positions: positions('9') })
    expect(await log.append(second)).toBe('unknown')
    const next = await acquire()
    expect(next.last!.head.toString()).toBe('at 5')
    const [code] = await network.arrive()
    expect([47, 90]).toContain(code)
    expect(await next.append({ ...second, head: head('8'), positions: positions('8') })).toBe('ok')
    expect(texts(await readAll(steady, out, 0))).toEqual(['1', '2'])
    const admin = steady.admin()
    expect(await admin.committed(`${out}.s`, `${out}-in`)).toEqual(['8'])
    await admin.close()
    await Promise.all([log.close(), next.close()])
  }, 30_000)
})
