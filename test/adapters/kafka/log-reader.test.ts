import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { anonymous, encodeBatch } from '../../../src/adapters/kafka/record-batch.ts'
import { Connection } from '../../../src/adapters/kafka/connection.ts'
import { writeRecords } from '../../../src/adapters/kafka/produce.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import type { LogEvent, LogReader, PartitionsRevoked } from '../../../src/spec/index.ts'
import { api, Network } from './network.ts'
import {
  createTopic,
  eventsUntil,
  failure,
  type KafkaAdapter,
  notRun,
  numbers,
  open,
  partitionsOf,
  record,
  recordsOf,
  running,
  texts,
  unique
} from './server.ts'

const isRevoked = (event: LogEvent): event is PartitionsRevoked => event.kind === 'partitions-revoked'

describe.runIf(running)(`the log reader of kafka${notRun}`, () => {
  let adapter: KafkaAdapter
  const readers: LogReader[] = []
  const adapters: KafkaAdapter[] = []
  beforeAll(async () => void (adapter = await open()))
  afterEach(async () => {
    await Promise.all(readers.splice(0).map(reader => reader.close()))
    await Promise.all(adapters.splice(0).map(each => each.close()))
  })
  afterAll(() => adapter.close())

  async function join(
    topic: string,
    { group = topic, from = adapter, sessionTimeout = 6000, maxBytes = 1 << 20 } = {}
  ): Promise<LogReader> {
    const reader = await from.logReader!({ group, topics: [topic], sessionTimeout, maxBytes })
    readers.push(reader)
    return reader
  }

  async function another(options: Parameters<typeof open>[0] = {}): Promise<KafkaAdapter> {
    const opened = await open(options)
    adapters.push(opened)
    return opened
  }

  /** Receives, seeks what is assigned and releases what is revoked, until it is stopped. */
  function follow(reader: LogReader): { readonly events: LogEvent[]; stop(): Promise<void> } {
    const events: LogEvent[] = []
    const stopping = new AbortController()
    const run = async (): Promise<void> => {
      while (!stopping.signal.aborted)
        for (const event of await reader.receive({ wait: 5000, signal: stopping.signal })) {
          events.push(event)
          if (event.kind === 'partitions-assigned')
            for (const partition of event.partitions) await reader.seek(partition, 'committed').catch(() => undefined)
          if (isRevoked(event)) event.release()
        }
    }
    const running = run().catch(() => undefined)
    return {
      events,
      stop: () => {
        stopping.abort()
        return running
      }
    }
  }

  it('hands over while it works: the commit of the old owner is in before the new one starts', async () => {
    const topic = await createTopic(adapter, 2)
    const producer = await adapter.producer()
    for (const partition of [0, 1]) await producer.send(numbers(topic, partition, 10))
    const first = await join(topic)
    const seek = (reader: LogReader, event: LogEvent): Promise<unknown> | undefined =>
      event.kind === 'partitions-assigned'
        ? Promise.all(event.partitions.map(partition => reader.seek(partition, 'committed')))
        : undefined
    await eventsUntil(
      first,
      events => recordsOf(events).length === 20,
      event => seek(first, event)
    )
    const second = await join(topic, { from: await another() })
    const others = follow(second)
    const [revoked] = (await eventsUntil(first, events => events.some(isRevoked))).filter(isRevoked)
    const [place] = revoked!.partitions
    expect(revoked!.partitions).toHaveLength(1)
    const left = revoked!.deadline - systemEnvironment.monotonic()
    expect(left).toBeGreaterThan(20_000)
    expect(left).toBeLessThanOrEqual(30_000)
    // Work in hand: longer than two heartbeats, and the group waits for it.
    await wait(1200)
    expect(partitionsOf(others.events, 'partitions-assigned')).toEqual([])
    await first.commit([{ ...place!, position: '6' }])
    revoked!.release()
    await eventsUntil(first, () => recordsOf(others.events).length > 0)
    expect(texts(recordsOf(others.events))).toEqual(['7', '8', '9'])
    expect(adapter.classify(await failure(first.commit([{ ...place!, position: '8' }]))).code).toBe('not-owner')
    await others.stop()
  })

  it('says nothing of partitions that stay: they are read on through the rebalance', async () => {
    const topic = await createTopic(adapter, 4)
    const first = follow(await join(topic))
    await expect.poll(() => partitionsOf(first.events, 'partitions-assigned').length, { timeout: 10_000 }).toBe(4)
    const second = follow(await join(topic, { from: await another() }))
    await expect.poll(() => partitionsOf(second.events, 'partitions-assigned').length, { timeout: 10_000 }).toBe(2)
    expect(partitionsOf(first.events, 'partitions-revoked')).toHaveLength(2)
    expect(partitionsOf(first.events, 'partitions-assigned')).toHaveLength(4)
    await second.stop()
    await readers[1]!.close()
    await expect.poll(() => partitionsOf(first.events, 'partitions-assigned').length, { timeout: 10_000 }).toBe(6)
    expect(partitionsOf(first.events, 'partitions-revoked')).toHaveLength(2)
    await first.stop()
  })

  it('lets go of a partition at the deadline, when the front does not', async () => {
    const impatient = await another({ rebalanceTimeout: 1500 })
    const topic = await createTopic(adapter, 2)
    const first = await join(topic, { from: impatient })
    await eventsUntil(first, events => partitionsOf(events, 'partitions-assigned').length === 2)
    const others = follow(await join(topic, { from: await another() }))
    const [revoked] = (await eventsUntil(first, events => events.some(isRevoked))).filter(isRevoked)
    // Never released.
    await expect.poll(() => partitionsOf(others.events, 'partitions-assigned').length, { timeout: 10_000 }).toBe(1)
    expect(systemEnvironment.monotonic()).toBeGreaterThanOrEqual(revoked!.deadline)
    const [place] = revoked!.partitions
    expect(adapter.classify(await failure(first.commit([{ ...place!, position: '0' }]))).code).toBe('not-owner')
    revoked!.release()
    await others.stop()
  })

  it('loses what it holds when the group has put it out, says so, and joins again', async () => {
    const topic = await createTopic(adapter, 2)
    await (await adapter.producer()).send(numbers(topic, 0, 5))
    const first = await join(topic)
    await eventsUntil(first, events => partitionsOf(events, 'partitions-assigned').length === 2)
    const native = adapter.native!.admin()
    await native.connect()
    const { groups } = (await native.describeGroups([topic])) as { groups: { members: { memberId: string }[] }[] }
    await native.disconnect()
    const connection = new Connection(adapter.native!, systemEnvironment)
    const coordinator = await connection.coordinator('group', topic)
    await coordinator.leaveGroup({ groupId: topic, memberId: groups[0]!.members[0]!.memberId })
    await connection.close()
    const events = await eventsUntil(first, seen => partitionsOf(seen, 'partitions-assigned').length === 2)
    const [revoked] = events.filter(isRevoked)
    expect(revoked).toMatchObject({ deadline: 0 })
    expect(revoked!.partitions).toHaveLength(2)
    await first.seek({ topic, partition: 0 }, 'committed')
    expect(texts(recordsOf(await eventsUntil(first, seen => recordsOf(seen).length >= 5)))).toHaveLength(5)
    await first.commit([{ topic, partition: 0, position: '4' }])
  })

  it('tells of a network that is gone, loses its partitions to others, and comes back with it', async () => {
    const network = new Network()
    const behind = await another({ brokers: [], client: network.client() })
    const topic = await createTopic(adapter, 2)
    const first = await join(topic, { from: behind, sessionTimeout: 2000 })
    await eventsUntil(first, events => partitionsOf(events, 'partitions-assigned').length === 2)
    network.cut()
    const errors: unknown[] = []
    const events: LogEvent[] = []
    const deadline = Date.now() + 20_000
    while (!(errors.length > 0 && events.some(isRevoked)) && Date.now() < deadline)
      await first.receive({ wait: 200 }).then(
        some => events.push(...some),
        (error: unknown) => errors.push(error)
      )
    expect(adapter.classify(errors[0])).toEqual({ code: 'connection', retryable: true })
    expect(events.find(isRevoked)).toMatchObject({ deadline: 0 })
    const others = follow(await join(topic, { from: await another(), sessionTimeout: 2000 }))
    await expect.poll(() => partitionsOf(others.events, 'partitions-assigned').length, { timeout: 10_000 }).toBe(2)
    network.restore()
    const back: LogEvent[] = []
    while (partitionsOf(back, 'partitions-assigned').length === 0 && Date.now() < deadline + 10_000)
      await first.receive({ wait: 200 }).then(
        some => back.push(...some),
        () => undefined
      )
    expect(partitionsOf(back, 'partitions-assigned')).toHaveLength(1)
    await others.stop()
  })

  it('keeps its membership over a short break of the network', async () => {
    const network = new Network()
    const behind = await another({ brokers: [], client: network.client() })
    const topic = await createTopic(adapter)
    const producer = await adapter.producer()
    const reader = await join(topic, { from: behind })
    await eventsUntil(reader, events => partitionsOf(events, 'partitions-assigned').length === 1)
    await reader.seek({ topic, partition: 0 }, 'committed')
    network.cut()
    await producer.send(numbers(topic, 0, 5))
    await wait(500)
    network.restore()
    const events = await eventsUntil(reader, seen => recordsOf(seen).length >= 5)
    expect(texts(recordsOf(events))).toEqual(['0', '1', '2', '3', '4'])
    expect(events.filter(isRevoked)).toEqual([])
    network.lose(api.heartbeat, 'answer')
    await wait(1500)
    await reader.commit([{ topic, partition: 0, position: '4' }])
    expect(await adapter.admin().committed(topic, topic)).toEqual(['4'])
  })

  it('ends with bad-config when the broker does not take the session', async () => {
    const topic = await createTopic(adapter)
    const reader = await join(topic, { sessionTimeout: 100 })
    const error = await failure(eventsUntil(reader, () => false))
    expect(adapter.classify(error)).toEqual({ code: 'bad-config', retryable: false })
    expect(String(error)).toContain('group.min.session.timeout.ms')
    expect(adapter.classify(await failure(reader.receive({ wait: 0 }))).code).toBe('bad-config')
  })

  it('ends with bad-config beside members of another kind', async () => {
    const topic = await createTopic(adapter)
    const foreign = adapter.native!.consumer({ groupId: topic })
    await foreign.connect()
    await foreign.subscribe({ topics: [topic] })
    const joined = new Promise(resolve => foreign.on('consumer.group_join', resolve))
    await foreign.run({ eachMessage: async () => undefined })
    await joined
    const error = await failure(eventsUntil(await join(topic), () => false))
    await foreign.disconnect()
    expect(adapter.classify(error).code).toBe('bad-config')
    expect(String(error)).toContain('a group of its own')
  })

  it('rejects a seek to a place that is gone, and tells when it is overtaken by retention', async () => {
    const topic = await createTopic(adapter)
    const producer = await adapter.producer()
    await producer.send(numbers(topic, 0, 10))
    const reader = await join(topic)
    const place = { topic, partition: 0 }
    await eventsUntil(reader, events => partitionsOf(events, 'partitions-assigned').length === 1)
    await reader.seek(place, 'latest')
    const admin = adapter.native!.admin()
    await admin.connect()
    await admin.fetchTopicOffsets(topic)
    const cut = (offset: string): Promise<void> =>
      admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset }] })
    await cut('7').catch(() => cut('7'))
    expect(adapter.classify(await failure(reader.seek(place, { after: '2' })))).toEqual({
      code: 'position-lost',
      retryable: false
    })
    await reader.commit([{ ...place, position: '2' }])
    expect(adapter.classify(await failure(reader.seek(place, 'committed'))).code).toBe('position-lost')
    reader.pause([place])
    await reader.seek(place, { after: '6' })
    await cut('9')
    await admin.disconnect()
    reader.resume([place])
    expect(adapter.classify(await failure(eventsUntil(reader, () => false))).code).toBe('position-lost')
    await reader.seek(place, 'earliest')
    expect(texts(recordsOf(await eventsUntil(reader, events => recordsOf(events).length > 0)))).toEqual(['9'])
  })

  it('does not skip what it cannot decompress, and reads on where it is told', async () => {
    const topic = await createTopic(adapter, 2)
    const producer = await adapter.producer()
    await producer.send([record(topic, 0, 'before')])
    // Snappy allows to store bytes as they are: their number, then a literal.
    const snappy = {
      compress: (bytes: Buffer) => Buffer.concat([Buffer.from([bytes.length, (bytes.length - 1) << 2]), bytes]),
      decompress: (bytes: Buffer) => bytes
    }
    const connection = new Connection(adapter.native!, systemEnvironment)
    const options = { connection, codec: { compression: 2, codec: snappy }, acks: -1, timeout: 5000, limits: new Map() }
    expect((await writeRecords([record(topic, 0, 'packed')], options)).failure).toBeUndefined()
    await connection.close()
    await producer.send([record(topic, 0, 'after'), record(topic, 1, 'other')])
    const reader = await join(topic)
    await eventsUntil(reader, events => partitionsOf(events, 'partitions-assigned').length === 2)
    await reader.seek({ topic, partition: 0 }, 'earliest')
    const seen: LogEvent[] = []
    const error = await failure(
      eventsUntil(
        reader,
        () => false,
        event => void seen.push(event)
      )
    )
    expect(adapter.classify(error)).toEqual({ code: 'unsupported', retryable: false })
    expect(String(error)).toContain('npm install kafkajs-snappy')
    // Silent, also for what comes later.
    await producer.send([record(topic, 0, 'later')])
    await reader.seek({ topic, partition: 1 }, 'earliest')
    expect(texts(recordsOf(await eventsUntil(reader, events => recordsOf(events).length > 0)))).toEqual(['other'])
    expect(recordsOf(await reader.receive({ wait: 500 }))).toEqual([])
    await reader.seek({ topic, partition: 0 }, { after: '1' })
    expect(texts(recordsOf(await eventsUntil(reader, events => recordsOf(events).length > 1)))).toEqual([
      'after',
      'later'
    ])
    // The batch is what the test takes it for.
    expect((await encodeBatch([record(topic, 0, 'x')], anonymous, options.codec)).readInt16BE(21)).toBe(2)
  })

  it('shares out the partitions that a topic got later', async () => {
    const topic = await createTopic(adapter)
    const [first, second] = [follow(await join(topic)), follow(await join(topic, { from: await another() }))]
    const assigned = (): number =>
      [first, second].flatMap(({ events }) => partitionsOf(events, 'partitions-assigned')).length
    await expect.poll(assigned, { timeout: 10_000 }).toBe(1)
    const native = adapter.native!.admin()
    await native.connect()
    const stable = async (): Promise<string> => {
      const { groups } = (await native.describeGroups([topic])) as { groups: { state: string; members: object[] }[] }
      return `${groups[0]!.state} ${groups[0]!.members.length}`
    }
    // Nobody joins any more: only the leader can notice.
    await expect.poll(stable, { timeout: 10_000 }).toBe('Stable 2')
    await native.createPartitions({ topicPartitions: [{ topic, count: 3 }] })
    await native.disconnect()
    await expect.poll(assigned, { timeout: 45_000 }).toBeGreaterThanOrEqual(3)
    await Promise.all([first.stop(), second.stop()])
  }, 60_000)

  it('ends with unknown-topic when its topic is deleted', async () => {
    const topic = await createTopic(adapter)
    const reader = await join(topic, { sessionTimeout: 2000 })
    await eventsUntil(reader, events => partitionsOf(events, 'partitions-assigned').length === 1)
    await reader.seek({ topic, partition: 0 }, 'earliest')
    await adapter.admin().deleteTopic(topic)
    expect(adapter.classify(await failure(eventsUntil(reader, () => false))).code).toBe('unknown-topic')
  })

  it('counts what is behind the records that it hands over', async () => {
    const topic = await createTopic(adapter)
    await (await adapter.producer()).send(numbers(topic, 0, 100))
    const reader = await join(topic, { maxBytes: 4096 })
    await eventsUntil(reader, events => partitionsOf(events, 'partitions-assigned').length === 1)
    await reader.seek({ topic, partition: 0 }, 'earliest')
    let seen = 0
    await eventsUntil(
      reader,
      events => recordsOf(events).length === 100,
      event => {
        if (event.kind !== 'records') return
        seen += event.records.length
        expect(event.behind).toBe(100 - seen)
      }
    )
  })

  it('pauses in the middle of what it has fetched, and goes on right there', async () => {
    const topic = await createTopic(adapter)
    await (await adapter.producer()).send(numbers(topic, 0, 500))
    const reader = await join(topic, { maxBytes: 8192 })
    const place = { topic, partition: 0 }
    await eventsUntil(reader, events => partitionsOf(events, 'partitions-assigned').length === 1)
    await reader.seek(place, 'earliest')
    const seen: string[] = []
    while (seen.length < 500) {
      const events = await reader.receive({ wait: 1000 })
      seen.push(...texts(recordsOf(events)))
      reader.pause([place])
      expect(recordsOf(await reader.receive({ wait: 20 }))).toEqual([])
      reader.resume([place])
    }
    expect(seen).toEqual(texts(numbers(topic, 0, 500) as never))
  })

  it('is seen by the tools of the broker with its partitions', async () => {
    const topic = await createTopic(adapter, 2)
    const group = unique('group')
    const reader = await join(topic, { group })
    await eventsUntil(reader, events => partitionsOf(events, 'partitions-assigned').length === 2)
    const native = adapter.native!.admin()
    await native.connect()
    const { groups } = (await native.describeGroups([group])) as {
      groups: { state: string; protocol: string; protocolType: string; members: { memberAssignment: Buffer }[] }[]
    }
    await native.disconnect()
    expect(groups[0]).toMatchObject({ state: 'Stable', protocol: 'tidemark-cooperative', protocolType: 'consumer' })
    expect(groups[0]!.members).toHaveLength(1)
    expect(groups[0]!.members[0]!.memberAssignment.includes(topic)).toBe(true)
  })
})
