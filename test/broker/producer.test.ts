import { describe, expect, it } from 'vitest'
import { json, number, optional, pipeline, processor, text, topic } from '../../src/index.ts'
import { decodeStamp } from '../../src/core/stamp.ts'
import { World } from '../pipeline/world.ts'

const start = Date.UTC(2026, 0, 1)
const trades = topic('trades', {
  key: optional(text),
  value: json<{ at: number }>(),
  eventTime: trade => trade.at,
  lateness: 100,
  partitions: 2
})
const trade = (at: number, key: string | null = 'k'): { key: string | null; value: { at: number } } => ({
  key,
  value: { at: start + at }
})

describe('a plain producer', () => {
  it('writes what it is given, in the order of the calls, and says where', async () => {
    const world = new World()
    const client = await world.connect('writer')
    const producer = await world.environment.run(client.producer(trades))
    const receipts = await world.environment.run(Promise.all([0, 1, 2].map(at => producer.send(trade(at)))))
    expect(receipts.map(({ position }) => position)).toEqual(['0', '1', '2'])
    expect(new Set(receipts.map(({ partition }) => partition)).size).toBe(1)
    await world.environment.run(producer.sendAll([3, 4].map(at => trade(at))))
    expect((await world.records(trades)).map(({ value }) => value.at - start)).toEqual([0, 1, 2, 3, 4])
    await world.environment.run(client.close())
  })

  it('keeps order and identity through failures: readers see each once', async () => {
    const world = new World()
    const client = await world.connect('writer')
    const producer = await world.environment.run(client.producer(trades))
    for (let at = 0; at < 50; at++) {
      if (at % 7 === 0) world.broker.faults.fail({ operation: 'send', when: at % 2 ? 'before' : 'after', times: 2 })
      if (at % 11 === 0) world.broker.faults.duplicate()
      void producer.send(trade(at))
      if (at % 5 === 0) await world.environment.advance(10)
    }
    await world.environment.run(producer.flush())
    expect((await world.records(trades)).map(({ value }) => value.at - start)).toEqual(
      Array.from({ length: 50 }, (_, at) => at)
    )
    expect(world.written('trades')).toBeGreaterThan(50)
    await world.environment.run(client.close())
  })

  it('spreads entries without a key, and takes the partition it is told', async () => {
    const world = new World()
    const client = await world.connect('writer')
    const producer = await world.environment.run(client.producer(trades))
    const receipts = await world.environment.run(
      Promise.all([
        producer.send(trade(0, null)),
        producer.send(trade(0, null)),
        producer.send({ ...trade(0), partition: 1 }),
        producer.send({ ...trade(0), partition: 0 })
      ])
    )
    expect(receipts.map(({ partition }) => partition)).toEqual([0, 1, 1, 0])
    await expect(producer.send({ ...trade(0), partition: 2 })).rejects.toMatchObject({ code: 'bad-record' })
    await world.environment.run(client.close())
  })

  it.each<[string, object, string]>([
    ['a value that does not encode', { key: 5, value: { at: 0 } }, 'bad-record'],
    ['a tombstone where there is none', { key: 'k', value: null }, 'bad-record'],
    ['a time in microseconds', { key: 'k', value: { at: start * 1_000 } }, 'bad-record'],
    ['a header of ours', { key: 'k', value: { at: 0 }, headers: { '~s': '' } }, 'bad-record']
  ])('refuses %s, and the sequence has no hole', async (_, entry, code) => {
    const world = new World()
    const client = await world.connect('writer')
    const producer = await world.environment.run(client.producer(trades))
    await expect(producer.send(entry as never)).rejects.toMatchObject({ code })
    await expect(producer.sendAll([entry as never])).rejects.toMatchObject({ code })
    await world.environment.run(producer.send(trade(1)))
    const [log] = world.broker.topic('trades').partitions.filter(partition => partition.end > 0)
    expect(decodeStamp(log!.slice(0, Infinity, true).records[0]!.stamp!).sequence).toBe(1)
    await world.environment.run(client.close())
  })

  it('refuses with throttled what would grow without a limit, and takes more once there is room', async () => {
    const world = new World()
    const client = await world.connect('writer')
    const producer = await world.environment.run(client.producer(trades, { maxBufferedBytes: 1_000 }))
    world.broker.faults.disconnect('writer')
    const sent: Promise<unknown>[] = []
    let throttled = 0
    for (let at = 0; at < 100; at++) {
      const sending = producer.send(trade(at))
      sent.push(
        sending.catch(error => {
          expect(error).toMatchObject({ code: 'throttled', retryable: true })
          throttled++
        })
      )
    }
    await world.environment.settle()
    expect(throttled).toBeGreaterThan(80)
    world.broker.faults.reconnect('writer')
    await world.environment.run(Promise.all(sent))
    await world.environment.run(producer.send(trade(500)))
    expect((await world.records(trades)).length).toBe(101 - throttled)
    await world.environment.run(client.close())
  })

  it('refuses after close, which waits for what was sent', async () => {
    const world = new World()
    const client = await world.connect('writer')
    const producer = await world.environment.run(client.producer(trades))
    world.broker.faults.delay({ operation: 'send', topic: 'trades', milliseconds: 60_000 })
    const sent = producer.send(trade(1))
    await world.environment.run(producer.close())
    expect(world.written('trades')).toBe(1)
    await sent
    await expect(producer.send(trade(2))).rejects.toMatchObject({ code: 'closed' })
    await world.environment.run(producer.close())
    await world.environment.run(client.close())
    await expect(client.producer(trades)).rejects.toMatchObject({ code: 'closed' })
  })

  it('promises nothing for what is still on its way: a slow partition is not late', async () => {
    const world = new World()
    const client = await world.connect('writer')
    const producer = await world.environment.run(client.producer(trades))
    const late: number[] = []
    const watch = processor({
      name: 'watch',
      from: trades,
      process: record => {
        if (record.late) late.push(record.eventTime - start)
      }
    })
    const stop = new AbortController()
    const running = world.worker().run(pipeline('watch', [watch]), { handleSignals: false, signal: stop.signal })
    await world.environment.advance(1_000)
    // The first entry of one partition is held up; the other partition runs far ahead meanwhile.
    world.broker.faults.fail({ operation: 'send', topic: 'trades', partition: 0, times: 6 })
    const slow = producer.send({ ...trade(0), partition: 0 })
    for (let at = 0; at < 40; at++) {
      void producer.send({ ...trade(at * 1_000), partition: 1 })
      await world.environment.advance(100)
    }
    await world.environment.run(slow)
    await world.environment.advance(2_000)
    expect(late).toEqual([])
    stop.abort()
    await world.environment.run(running)
    await world.environment.run(client.close())
  })

  it('flags what is behind its own promise as late', async () => {
    const world = new World()
    const client = await world.connect('writer')
    const producer = await world.environment.run(client.producer(trades))
    const times = [1_000, 950, 800, 850, 1_100, 1_050]
    await world.environment.run(producer.sendAll(times.map(at => trade(at))))
    expect((await world.records(trades)).map(({ late }) => late)).toEqual([false, false, true, true, false, false])
    // The promise is told where it rose, and never goes back.
    const [log] = world.broker.topic('trades').partitions.filter(partition => partition.end > 0)
    const promised = log!.slice(0, Infinity, true).records.map(({ stamp }) => decodeStamp(stamp!).watermark)
    expect(promised).toEqual([start + 900, undefined, undefined, undefined, start + 1_000, undefined])
    await world.environment.run(client.close())
  })

  it('that leaves is no end of the topic, and another one goes on', async () => {
    const world = new World()
    const client = await world.connect('writer')
    const seen: [number, boolean][] = []
    const watch = processor({
      name: 'watch',
      from: trades,
      process: ({ eventTime, late }) => void seen.push([eventTime - start, late])
    })
    const stop = new AbortController()
    let ended = false
    const running = world.worker().run(pipeline('watch', [watch]), { handleSignals: false, signal: stop.signal })
    void running.then(() => (ended = true))
    for (const round of [0, 1, 2]) {
      const producer = await world.environment.run(client.producer(trades))
      await world.environment.run(producer.sendAll([trade(round * 1_000), trade(round * 1_000 + 500)]))
      await world.environment.run(producer.close())
      await world.environment.advance(3_000)
    }
    expect(ended).toBe(false)
    expect(seen).toEqual([0, 500, 1_000, 1_500, 2_000, 2_500].map(at => [at, false]))
    stop.abort()
    await world.environment.run(running)
    await world.environment.run(client.close())
  })

  it('that leaves says so: nobody waits for it', async () => {
    const world = new World()
    const client = await world.connect('writer')
    const [leaves, stays] = [
      await world.environment.run(client.producer(trades)),
      await world.environment.run(client.producer(trades))
    ]
    const watermarks: number[] = []
    const watch = processor({
      name: 'watch',
      from: trades,
      process: () => {},
      onWatermark: watermark => void watermarks.push(watermark - start)
    })
    const stop = new AbortController()
    const running = world.worker().run(pipeline('watch', [watch]), { handleSignals: false, signal: stop.signal })
    await world.environment.run(leaves.sendAll([trade(100)]))
    await world.environment.run(leaves.close())
    for (let at = 0; at < 4; at++) {
      await world.environment.run(stays.sendAll([trade(5_000 + at)]))
      await world.environment.advance(1_000)
    }
    expect(Math.max(...watermarks)).toBeGreaterThan(4_000)
    stop.abort()
    await world.environment.run(running)
    await world.environment.run(client.close())
  })

  it('that dies holds the watermark for no longer than the lease', async () => {
    const world = new World()
    const client = await world.connect('writer')
    const dead = await world.environment.run(client.producer(trades))
    await world.environment.run(dead.sendAll([{ ...trade(100), partition: 0 }]))
    const watermarks: number[] = []
    const watch = processor({
      name: 'watch',
      from: trades,
      process: () => {},
      onWatermark: watermark => void watermarks.push(watermark - start)
    })
    const stop = new AbortController()
    const running = world.worker().run(pipeline('watch', [watch]), { handleSignals: false, signal: stop.signal })
    world.broker.faults.disconnect('writer')
    const other = await world.connect('other')
    const living = await world.environment.run(other.producer(trades))
    for (let at = 0; at < 60; at++) {
      void living.sendAll([{ ...trade(1_000 + at), partition: 0 }])
      await world.environment.advance(1_000)
    }
    expect(Math.max(...watermarks)).toBeGreaterThan(900)
    stop.abort()
    await world.environment.run(running)
  })

  it('carries headers and a time of its own', async () => {
    const world = new World()
    const client = await world.connect('writer')
    const plain = topic('plain', { key: text, value: number, partitions: 1 })
    const producer = await world.environment.run(client.producer(plain))
    await world.environment.run(producer.send({ key: 'k', value: 1, eventTime: 5, headers: { trace: 'x' } }))
    const [record] = await world.records(plain)
    expect(record).toMatchObject({ eventTime: 5, value: 1 })
    expect(Buffer.from(record!.headers['trace']!).toString()).toBe('x')
    await world.environment.run(client.close())
  })

  it('takes a header named __proto__ for a header', async () => {
    const world = new World()
    const client = await world.connect('writer')
    const plain = topic('plain', { key: text, value: number, partitions: 1 })
    const producer = await world.environment.run(client.producer(plain))
    const headers = JSON.parse('{ "__proto__": "x" }') as Record<string, string>
    await world.environment.run(producer.send({ key: 'k', value: 1, headers }))
    const [record] = await world.records(plain)
    expect(Object.keys(record!.headers)).toEqual(['__proto__'])
    await world.environment.run(client.close())
  })
})
