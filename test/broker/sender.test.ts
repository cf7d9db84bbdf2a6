import { describe, expect, it } from 'vitest'
import { memory, MemoryBroker, type MemoryAdapter } from '../../src/adapters/memory/index.ts'
import { delayOf, hasCode, Sender, withRetry } from '../../src/broker/index.ts'
import { systemEnvironment } from '../../src/core/environment.ts'
import { StreamError } from '../../src/core/errors.ts'
import { noHeaders, type OutgoingRecord } from '../../src/core/record.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'
import { dice, seeds } from '../pipeline/world.ts'

const record = (value: number, partition = 0, topic = 'out'): OutgoingRecord => ({
  topic,
  partition,
  key: null,
  value: Buffer.from(`${value}`),
  headers: noHeaders,
  stamp: undefined,
  timestamp: 0
})
const counted = (count: number): number[] => Array.from({ length: count }, (_, index) => index)

async function opened(
  partitions = 3
): Promise<{ broker: MemoryBroker; adapter: MemoryAdapter; environment: SimulatedEnvironment }> {
  const broker = new MemoryBroker()
  broker.createTopic({ topic: 'out', partitions })
  const environment = new SimulatedEnvironment()
  const adapter = memory({ broker, client: 'sender' })
  await adapter.open(environment)
  return { broker, adapter, environment }
}

/** Records of each request, as they come. */
function requestsOf(adapter: MemoryAdapter, byPartition = false): number[] {
  const requests: number[] = []
  const producer = adapter.producer
  adapter.producer = async () => {
    const driver = await producer()
    const send = driver.send.bind(driver)
    driver.send = (batch, signal) => {
      requests.push(batch.length)
      return send(batch, signal)
    }
    return byPartition ? Object.assign(driver, { byPartition }) : driver
  }
  return requests
}

const written = (broker: MemoryBroker, partition = 0): string[] =>
  broker
    .log({ topic: 'out', partition })
    .slice(0, Infinity, true)
    .records.map(({ value }) => Buffer.from(value!).toString())

/** Without repeats: each first time. */
const firsts = (values: readonly string[]): string[] => [...new Set(values)]

describe('the sender', () => {
  it('makes one request of a burst, and keeps the order of each partition', async () => {
    const { broker, adapter, environment } = await opened()
    const requests = requestsOf(adapter)
    const sender = new Sender(adapter, environment)
    await environment.run(sender.send(counted(30).map(value => record(value, value % 3))))
    expect(requests).toEqual([30])
    for (const partition of [0, 1, 2])
      expect(written(broker, partition)).toEqual(counted(10).map(value => `${value * 3 + partition}`))
    expect(sender.bufferedBytes).toBe(0)
    await sender.close()
  })

  it('makes a request for each partition, once it knows that the driver likes it so', async () => {
    const { broker, adapter, environment } = await opened()
    const requests = requestsOf(adapter, true)
    const sender = new Sender(adapter, environment)
    await environment.run(sender.send([record(0)]))
    await environment.run(sender.send(counted(30).map(value => record(value, value % 3))))
    expect(requests).toEqual([1, 10, 10, 10])
    for (const partition of [1, 2])
      expect(written(broker, partition)).toEqual(counted(10).map(value => `${value * 3 + partition}`))
    await sender.close()
  })

  it('takes along what is sent in the microtasks that follow', async () => {
    const { adapter, environment } = await opened()
    const requests = requestsOf(adapter)
    const sender = new Sender(adapter, environment)
    const sent: Promise<void>[] = []
    for (const value of counted(5)) {
      sent.push(sender.send([record(value, value % 3)]))
      await Promise.resolve()
    }
    await environment.run(Promise.all(sent))
    expect(requests).toEqual([5])
  })

  it('keeps a request within its bytes, over all partitions', async () => {
    const { broker, adapter, environment } = await opened()
    const requests = requestsOf(adapter)
    // A record here counts for 65 bytes.
    const sender = new Sender(adapter, environment, false, 130)
    await environment.run(sender.send(counted(9).map(value => record(value, value % 3))))
    expect(Math.max(...requests)).toBe(2)
    expect(requests.reduce((sum, size) => sum + size, 0)).toBe(9)
    for (const partition of [0, 1, 2]) expect(written(broker, partition).length).toBe(3)
  })

  it.each(seeds(30))('seed %d: through failures of any kind, all is written, in order, and told once', async seed => {
    const { broker, adapter, environment } = await opened()
    const random = dice(seed)
    const sender = new Sender(adapter, environment, false, 400)
    const told: number[] = []
    let outcome = 0
    for (let round = 0; round < 20; round++) {
      const when = random() < 0.5 ? ('before' as const) : ('after' as const)
      const partition = Math.floor(random() * 3)
      const times = 1 + Math.floor(random() * 3)
      if (random() < 0.3) broker.faults.fail({ operation: 'send', when, times })
      if (random() < 0.3)
        broker.faults.fail({
          operation: 'send',
          topic: 'out',
          partition,
          when,
          times,
          written: Math.floor(random() * 3)
        })
      if (random() < 0.2) broker.faults.delay({ operation: 'send', milliseconds: random() * 500 })
      if (random() < 0.1) broker.faults.fail({ operation: 'producer' })
      for (let index = 0; index < random() * 10; index++) {
        const value = outcome++
        sender.enqueue(record(value, value % 3), error => {
          expect(error).toBeUndefined()
          told.push(value)
        })
      }
      await environment.advance(random() * 100)
    }
    await environment.run(sender.flush())
    expect(told.length).toBe(outcome)
    expect(new Set(told).size).toBe(outcome)
    for (const partition of [0, 1, 2]) {
      const expected = counted(outcome).filter(value => value % 3 === partition)
      expect(firsts(written(broker, partition))).toEqual(expected.map(String))
      expect(told.filter(value => value % 3 === partition)).toEqual(expected)
    }
  })

  it('tells the error of a record that nothing mends, and goes on with the next', async () => {
    const { broker, adapter, environment } = await opened()
    const sender = new Sender(adapter, environment)
    const error = new StreamError('too-large', 'too large')
    broker.faults.fail({ operation: 'send', topic: 'out', partition: 0, error, written: 1 })
    const results = counted(3).map(
      value => new Promise<unknown>(resolve => sender.enqueue(record(value), thrown => resolve(thrown?.code ?? 'ok')))
    )
    expect(await environment.run(Promise.all(results))).toEqual(['ok', 'too-large', 'ok'])
    expect(written(broker)).toEqual(['0', '2'])
  })

  it('that is strict ends the partition there: no hole behind which readers would go on', async () => {
    const { broker, adapter, environment } = await opened()
    const sender = new Sender(adapter, environment, true)
    const error = new StreamError('too-large', 'too large')
    broker.faults.fail({ operation: 'send', topic: 'out', partition: 0, error, written: 1 })
    const codes = (values: number[], partition = 0): Promise<unknown[]> =>
      environment.run(
        Promise.all(
          values.map(
            value =>
              new Promise<unknown>(resolve =>
                sender.enqueue(record(value, partition), thrown => resolve(thrown?.code ?? 'ok'))
              )
          )
        )
      )
    expect(await codes([0, 1, 2])).toEqual(['ok', 'too-large', 'too-large'])
    expect(await codes([3])).toEqual(['too-large'])
    expect(await codes([4], 1)).toEqual(['ok'])
    expect(written(broker)).toEqual(['0'])
    expect(sender.bufferedBytes).toBe(0)
  })

  it('gives up what is waiting when it is closed by a signal', async () => {
    const { broker, adapter, environment } = await opened()
    const sender = new Sender(adapter, environment)
    broker.faults.disconnect('sender')
    const sent = sender.send([record(1), record(2)])
    sent.catch(() => {})
    await environment.advance(1_000)
    const abort = new AbortController()
    const closing = sender.close(abort.signal)
    await environment.advance(1_000)
    abort.abort()
    await environment.run(closing)
    await expect(sent).rejects.toSatisfy(StreamError.is)
    expect(() => sender.enqueue(record(3), () => {})).toThrow('is closed')
  })

  it('takes a record that is larger than a batch', async () => {
    const { broker, adapter, environment } = await opened()
    const sender = new Sender(adapter, environment, false, 10)
    await environment.run(sender.send([record(123_456_789_012), record(2), record(3)]))
    expect(written(broker)).toEqual(['123456789012', '2', '3'])
  })
})

describe('retry', () => {
  it('waits longer each time, spread, up to the most', () => {
    const environment = { ...systemEnvironment, random: () => 0 }
    const backoff = { first: 100, most: 1_000 }
    expect([1, 2, 3, 4, 5, 50].map(attempt => delayOf(backoff, attempt, environment))).toEqual([
      50, 100, 200, 400, 500, 500
    ])
    expect(delayOf(backoff, 1, { ...environment, random: () => 0.999 })).toBeCloseTo(100, 0)
  })

  it('stops at what is not retryable, at the last attempt, and by the signal', async () => {
    const { adapter, environment } = await opened()
    let calls = 0
    const failing = (retryable: boolean) => async (): Promise<never> => {
      calls++
      throw new StreamError('connection', 'away', { retryable })
    }
    await expect(
      environment.run(withRetry({ adapter, environment, doing: 'it' }, failing(false)))
    ).rejects.toMatchObject({ code: 'connection' })
    expect(calls).toBe(1)
    await expect(
      environment.run(withRetry({ adapter, environment, doing: 'it', attempts: 3 }, failing(true)))
    ).rejects.toMatchObject({ code: 'connection' })
    expect(calls).toBe(4)
    const abort = new AbortController()
    const retrying = withRetry({ adapter, environment, doing: 'it', signal: abort.signal }, failing(true))
    retrying.catch(() => {})
    await environment.advance(1_000)
    abort.abort()
    const before = environment.monotonic()
    const error: unknown = await environment.run(retrying).catch((thrown: unknown) => thrown)
    expect(hasCode(error, 'aborted', 'connection')).toBe(true)
    expect(environment.monotonic()).toBe(before)
  })

  it('says in which words a driver failed, and where', async () => {
    const { adapter, environment } = await opened()
    const error: unknown = await environment
      .run(withRetry({ adapter, environment, doing: 'reading' }, () => Promise.reject(new TypeError('x is undefined'))))
      .catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({
      code: 'internal',
      adapter: 'memory',
      message: expect.stringMatching(/^memory \(memory:.*\): reading: x is undefined$/)
    })
  })
})
