import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import type { FencedProducer, LogReader, ProducerDriver } from '../../../src/spec/index.ts'
import { api, Network } from './network.ts'
import {
  createTopic,
  failure,
  type KafkaAdapter,
  notRun,
  numbers,
  open,
  readAll,
  record,
  running,
  texts
} from './server.ts'

describe.runIf(running)(`kafka over a network that breaks${notRun}`, () => {
  const adapters: KafkaAdapter[] = []
  afterEach(() => Promise.all(adapters.splice(0).map(adapter => adapter.close())))

  async function keep(adapter: Promise<KafkaAdapter>): Promise<KafkaAdapter> {
    adapters.push(await adapter)
    return adapter
  }

  const behind = (network: Network, requestTimeout = 1500): Promise<KafkaAdapter> =>
    keep(open({ brokers: [], client: network.client({ requestTimeout }), requestTimeout }))

  async function took(call: () => Promise<unknown>): Promise<number> {
    const started = performance.now()
    await call()
    return performance.now() - started
  }

  it('half of an answer is not taken for the beginning of the next one', async () => {
    const network = new Network()
    const adapter = await behind(network)
    const topic = await createTopic(adapter)
    const producer = await adapter.producer()
    await producer.send(numbers(topic, 0, 1))
    for (let round = 0; round < 3; round++) {
      network.lose(api.produce, 'half')
      expect(adapter.classify(await failure(producer.send(numbers(topic, 0, 1))))).toEqual({
        code: 'connection',
        retryable: true
      })
      expect(await took(() => producer.send(numbers(topic, 0, 1)))).toBeLessThan(1000)
    }
    const reader = await adapter.partitionReader!({
      topic,
      partition: 0,
      from: 'earliest',
      readCommitted: true,
      maxBytes: 1 << 20
    })
    network.lose(api.fetch, 'half')
    let read = 0
    for (const end = Date.now() + 5000; read < 4 && Date.now() < end;)
      await reader.receive({ wait: 200 }).then(
        ({ records }) => (read += records.length),
        (error: unknown) => expect(adapter.classify(error)).toEqual({ code: 'connection', retryable: true })
      )
    expect(read).toBeGreaterThanOrEqual(4)
    await reader.close()
  })

  it('a connection on which an answer is overdue is given up', async () => {
    const network = new Network()
    const adapter = await behind(network)
    const topic = await createTopic(adapter)
    const producer = await adapter.producer()
    await producer.send(numbers(topic, 0, 1))
    network.lose(api.produce, 'silence')
    expect(adapter.classify(await failure(producer.send(numbers(topic, 0, 1)))).code).toBe('timeout')
    expect(await took(() => producer.send(numbers(topic, 0, 1)))).toBeLessThan(1000)
  })

  it('many that find a connection broken open one new one together', async () => {
    const network = new Network()
    const adapter = await behind(network, 10_000)
    const topic = await createTopic(adapter, 4)
    const producer = await adapter.producer()
    await producer.send(numbers(topic, 0, 1))
    network.cut()
    await wait(50)
    network.restore()
    const before = network.opened
    const sends = Array.from({ length: 40 }, (_, index) => producer.send([record(topic, index % 4, 'x')]))
    for (const [result] of await Promise.all(sends)) expect(result!.ok).toBe(true)
    expect(network.opened - before).toBeLessThanOrEqual(2)
  })

  const inGroup = (topic: string) => ({ group: topic, topics: [topic], sessionTimeout: 60_000, maxBytes: 1 << 18 })

  async function assigned(reader: LogReader): Promise<number> {
    for (const end = performance.now() + 20_000; performance.now() < end;)
      for (const event of await reader.receive({ wait: 500 }))
        if (event.kind === 'partitions-assigned') return event.partitions.length
    return 0
  }

  it('a member that could not leave its group does not hold up the next one', async () => {
    const network = new Network()
    const adapter = await behind(network)
    const topic = await createTopic(adapter, 2)
    const options = inGroup(topic)
    const first = await adapter.logReader!(options)
    expect(await assigned(first)).toBe(2)
    network.cut()
    await first.close()
    network.restore()
    const second = await adapter.logReader!(options)
    expect(await assigned(second)).toBe(2)
    // Nor does one that the group has forgotten: it gets a new name.
    await second.close()
    expect(await assigned(await adapter.logReader!(options))).toBe(2)
  }, 60_000)

  it('a member that has left does not come back, though it hears from the group that it is unknown first', async () => {
    const network = new Network()
    const adapter = await behind(network)
    const topic = await createTopic(adapter, 2)
    const first = await adapter.logReader!(inGroup(topic))
    expect(await assigned(first)).toBe(2)
    network.lose(api.leave, 'silence')
    await first.close()
    const joins = network.seen.get(api.join)
    expect(await assigned(await (await keep(open())).logReader!(inGroup(topic)))).toBe(2)
    expect(network.seen.get(api.join)).toBe(joins)
  }, 60_000)

  it('a member that is closed while it joins for the first time leaves nobody behind', async () => {
    const network = new Network()
    const adapter = await behind(network)
    const topic = await createTopic(adapter, 2)
    const first = await adapter.logReader!(inGroup(topic))
    // The first request gets a name, the second one waits with it for the others.
    await network.sent(api.join)
    await network.sent(api.join)
    await first.close()
    expect(await assigned(await (await keep(open())).logReader!(inGroup(topic)))).toBe(2)
  }, 60_000)

  it('shaken for some seconds, nothing hangs, nothing acknowledged is lost, nothing is torn', async () => {
    const network = new Network()
    const adapter = await behind(network)
    const steady = await keep(open())
    const topic = await createTopic(steady, 3)
    const changelog = await createTopic(steady, 3)
    let over = false
    const sent: string[][] = [[], [], []]

    async function produce(producer: ProducerDriver, partition: number): Promise<void> {
      for (let value = 0; !over;) {
        const results = await producer.send([record(topic, partition, String(value))]).catch(() => [])
        if (results[0]?.ok) sent[partition]!.push(String(value++))
        else await wait(5)
      }
    }

    /** Three records a commit; after an unclear end the next producer looks how far it had come. */
    async function commit(partition: number): Promise<void> {
      let producer: FencedProducer | undefined
      let next = 0
      while (!over)
        try {
          if (!producer) {
            producer = await adapter.transactions!().producer(`${changelog}-${partition}`)
            next = (await readAll(adapter, changelog, partition)).length
            expect(next % 3, 'a torn transaction').toBe(0)
          }
          const { outcome } = await producer.commit({ records: numbers(changelog, partition, 3, next) })
          expect(outcome).not.toBe('fenced')
          if (outcome === 'committed') next += 3
          if (outcome === 'unknown') producer = undefined
        } catch (error) {
          if (!adapter.classify(error).retryable) throw error
          producer = undefined
          await wait(5)
        }
    }

    const seen: Set<string>[] = sent.map(() => new Set())
    const complete = (): boolean =>
      over && sent.every((values, partition) => values.every(value => seen[partition]!.has(value)))
    async function consume(reader: LogReader): Promise<void> {
      while (!complete())
        try {
          for (const event of await reader.receive({ wait: 100 })) {
            if (event.kind === 'partitions-revoked') event.release()
            else if (event.kind === 'partitions-assigned')
              for (const place of event.partitions) await seek(reader, place)
            else {
              for (const text of texts(event.records)) seen[event.partition]!.add(text)
              const { topic: from, partition } = event
              const position = event.records.at(-1)!.position
              await reader.commit([{ topic: from, partition, position }]).catch(() => undefined)
            }
          }
        } catch (error) {
          if (!adapter.classify(error).retryable) throw error
        }
    }
    async function seek(reader: LogReader, place: { topic: string; partition: number }): Promise<void> {
      for (;;)
        try {
          return await reader.seek(place, 'committed')
        } catch (error) {
          const { code, retryable } = adapter.classify(error)
          if (code === 'not-owner') return
          if (!retryable) throw error
          await wait(5)
        }
    }

    const producer = await adapter.producer()
    const reader = await adapter.logReader!({ group: topic, topics: [topic], sessionTimeout: 3000, maxBytes: 1 << 18 })
    const work = Promise.all([
      ...[0, 1, 2].flatMap(partition => [produce(producer, partition), commit(partition)]),
      consume(reader)
    ])
    const shaking = (async () => {
      for (const end = Date.now() + 8000; Date.now() < end;) {
        await wait(50 + Math.random() * 400)
        if (Math.random() < 0.5) network.shake()
        else {
          network.cut()
          await wait(Math.random() * 300)
          network.restore()
        }
      }
    })()
    await Promise.race([work, shaking])
    over = true
    const ended = await Promise.race([work.then(() => 'ended'), wait(15_000, 'hung')])
    expect(ended).toBe('ended')
    for (const partition of [0, 1, 2]) {
      expect(sent[partition]!.length).toBeGreaterThan(20)
      // Ends what the last unclear commit may have left open.
      await steady.transactions!().producer(`${changelog}-${partition}`)
      const read = texts(await readAll(steady, changelog, partition))
      expect(read).toEqual(Array.from(read, (_, index) => String(index)))
      expect(read.length).toBeGreaterThan(20)
    }
    expect(await took(() => adapter.close())).toBeLessThan(5000)
  }, 60_000)
})
