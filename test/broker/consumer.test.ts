import { describe, expect, it } from 'vitest'
import { json, optional, bytes, text, topic, type Client } from '../../src/index.ts'
import { seeds, dice, World } from '../pipeline/world.ts'

const lines = topic('lines', { key: text, value: json<{ n: number }>(), partitions: 2 })
const raw = topic('lines', { key: optional(bytes), value: optional(bytes), partitions: 2 })
const all = (count: number, from = 0): number[] => Array.from({ length: count }, (_, index) => index + from)

async function fill(world: World, client: Client, count: number, from = 0): Promise<void> {
  const producer = await world.environment.run(client.producer(lines))
  await world.environment.run(producer.sendAll(all(count, from).map(n => ({ key: `k${n % 10}`, value: { n } }))))
  await world.environment.run(producer.close())
}

/** Takes values until there are so many, then leaves the loop by `break`. */
async function take(consumer: AsyncIterable<{ value: { n: number } }>, count: number): Promise<number[]> {
  const taken: number[] = []
  for await (const { value } of consumer) {
    taken.push(value.n)
    if (taken.length === count) break
  }
  return taken
}

describe('a plain consumer', () => {
  it('reads all, in the order of each partition', async () => {
    const world = new World()
    const client = await world.connect('a')
    await fill(world, client, 40)
    const records: { partition: number; position: string; n: number }[] = []
    const read = async (): Promise<void> => {
      for await (const { partition, position, value, key, topic: name, late } of client.consumer(lines, {
        group: 'g'
      })) {
        expect([key, name, late]).toEqual([`k${value.n % 10}`, 'lines', false])
        if (records.push({ partition, position, n: value.n }) === 40) break
      }
    }
    await world.environment.run(read())
    expect(records.map(({ n }) => n).sort((a, b) => a - b)).toEqual(all(40))
    for (const partition of [0, 1]) {
      const positions = records.filter(record => record.partition === partition).map(({ position }) => Number(position))
      expect(positions).toEqual([...positions].sort((a, b) => a - b))
    }
    await world.environment.run(client.close())
  })

  it('leaves the last record unacknowledged by break and by throw: it comes again', async () => {
    const world = new World()
    const client = await world.connect('a')
    const one = topic('one', { key: text, value: json<{ n: number }>(), partitions: 1 })
    const producer = await world.environment.run(client.producer(one))
    await world.environment.run(producer.sendAll(all(6).map(n => ({ key: 'k', value: { n } }))))
    expect(await world.environment.run(take(client.consumer(one, { group: 'g' }), 3))).toEqual([0, 1, 2])
    const throwing = async (): Promise<void> => {
      for await (const { value } of client.consumer(one, { group: 'g' })) {
        expect(value.n).toBe(2)
        throw new Error('out')
      }
    }
    await expect(world.environment.run(throwing())).rejects.toThrow('out')
    expect(await world.environment.run(take(client.consumer(one, { group: 'g' }), 4))).toEqual([2, 3, 4, 5])
    expect(await world.environment.run(take(client.consumer(one, { group: 'g' }), 1))).toEqual([5])
    await world.environment.run(client.close())
  })

  it('counts a record as done when the loop asks for the next one', async () => {
    const world = new World()
    const client = await world.connect('a')
    await fill(world, client, 10)
    const stop = new AbortController()
    const seen: number[] = []
    const read = async (): Promise<void> => {
      for await (const { value } of client.consumer(lines, { group: 'g', signal: stop.signal })) {
        seen.push(value.n)
        if (seen.length === 10) stop.abort()
      }
    }
    await world.environment.run(read())
    const backlog = await world.environment.run(client.admin.backlog('g', lines))
    expect(backlog.reduce((sum, { records }) => sum + records, 0)).toBe(0)
    await world.environment.run(client.close())
  })

  it('gives batches of one partition, done with the next one', async () => {
    const world = new World()
    const client = await world.connect('a')
    await fill(world, client, 30)
    const seen: number[] = []
    const read = async (): Promise<void> => {
      for await (const batch of client.consumer(lines, { group: 'g' }).batches()) {
        expect(new Set(batch.map(({ partition }) => partition)).size).toBe(1)
        seen.push(...batch.map(({ value }) => value.n))
        if (seen.length === 30) break
      }
    }
    await world.environment.run(read())
    expect(seen.sort((a, b) => a - b)).toEqual(all(30))
    await world.environment.run(client.close())
  })

  it('starts where it is told, once', async () => {
    const world = new World()
    const client = await world.connect('a')
    await fill(world, client, 10)
    const stop = new AbortController()
    const latest = client.consumer(lines, { group: 'late', startAt: 'latest', signal: stop.signal })
    const seen: number[] = []
    const reading = (async () => {
      for await (const { value } of latest) {
        if (seen.push(value.n) === 5) stop.abort()
      }
    })()
    await world.environment.advance(1_000)
    await fill(world, client, 5, 100)
    await world.environment.run(reading)
    expect(seen.sort((a, b) => a - b)).toEqual(all(5, 100))
    // The group has committed: `startAt` is not for it any more.
    await fill(world, client, 3, 200)
    expect(
      (await world.environment.run(take(client.consumer(lines, { group: 'late', startAt: 'latest' }), 3))).sort(
        (a, b) => a - b
      )
    ).toEqual(all(3, 200))
    await world.environment.run(client.close())
  })

  it('shares partitions with others of its group, and takes over what they leave', async () => {
    const world = new World()
    const [one, two] = [await world.connect('a'), await world.connect('b')]
    await fill(world, one, 60)
    const stops = [new AbortController(), new AbortController()]
    const seen = new Map<string, number>()
    const consume = async (client: Client, signal: AbortSignal): Promise<void> => {
      for await (const { value } of client.consumer(lines, { group: 'g', signal }))
        seen.set(`${value.n}`, (seen.get(`${value.n}`) ?? 0) + 1)
    }
    const first = consume(one, stops[0]!.signal)
    await world.environment.advance(2_000)
    const second = consume(two, stops[1]!.signal)
    await world.environment.advance(2_000)
    await fill(world, one, 60, 60)
    await world.environment.advance(2_000)
    stops[0]!.abort()
    await world.environment.run(first)
    await fill(world, two, 60, 120)
    await world.environment.advance(2_000)
    stops[1]!.abort()
    await world.environment.run(second)
    expect([...seen.keys()].map(Number).sort((a, b) => a - b)).toEqual(all(180))
    expect([...seen.values()].every(times => times === 1)).toBe(true)
    await world.environment.run(Promise.all([one.close(), two.close()]))
  })

  it('hands a partition over at once, with what it has done', async () => {
    const world = new World()
    const [one, two] = [await world.connect('a'), await world.connect('b')]
    await fill(world, one, 60)
    const stop = new AbortController()
    const seen: Record<string, number[]> = { one: [], two: [] }
    const consume = async (client: Client, name: string): Promise<void> => {
      for await (const { value } of client.consumer(lines, { group: 'g', signal: stop.signal }))
        seen[name]!.push(value.n)
    }
    const running = [consume(one, 'one')]
    while (seen['one']!.length < 60) await world.environment.advance(10)
    await fill(world, one, 20, 60)
    while (seen['one']!.length < 80) await world.environment.advance(10)
    // Half a second has not passed since: nothing but the hand-over commits the rest.
    const joined = world.environment.monotonic()
    running.push(consume(two, 'two'))
    for (let from = 80; seen['two']!.length === 0; from += 10) {
      await world.environment.advance(100)
      await fill(world, one, 10, from)
      expect(world.environment.monotonic() - joined).toBeLessThan(3_000)
    }
    await world.environment.advance(500)
    stop.abort()
    await world.environment.run(Promise.all(running))
    const all = Object.values(seen).flat()
    expect(new Set(all).size).toBe(all.length)
    await world.environment.run(Promise.all([one.close(), two.close()]))
  })

  it('parks poison and goes on, or throws it, as it is told', async () => {
    const world = new World()
    const client = await world.connect('a')
    const producer = await world.environment.run(client.producer(raw))
    const values = ['{"n":0}', '{"n":', '{"n":2}']
    await world.environment.run(
      producer.sendAll(values.map(value => ({ key: Buffer.from('k'), value: Buffer.from(value), partition: 1 })))
    )
    expect(await world.environment.run(take(client.consumer(lines, { group: 'parks' }), 2))).toEqual([0, 2])
    expect(await world.parked(raw)).toMatchObject([
      { origin: 'lines/1/1', by: 'parks', code: 'bad-record', attempts: 1 }
    ])
    await expect(
      world.environment.run(take(client.consumer(lines, { group: 'throws', poison: 'throw' }), 2))
    ).rejects.toMatchObject({ code: 'bad-record' })
    await world.environment.run(client.close())
  })

  it('rejects with what cannot be mended: a missing topic, a closed client', async () => {
    const world = new World()
    const client = await world.connect('a')
    const missing = topic('missing', { value: text })
    await expect(
      world.environment.run(take(client.consumer(missing, { group: 'g' }) as never, 1))
    ).rejects.toMatchObject({
      code: 'unknown-topic',
      message: expect.stringContaining('client.admin.create(topic')
    })
    await world.environment.run(client.close())
    expect(() => client.consumer(lines, { group: 'g' })).toThrow('the client is closed')
  })

  it.each(seeds(20))('seed %d: loses nothing through failures and evictions', async seed => {
    const world = new World({ seed })
    const random = dice(seed)
    const client = await world.connect('a')
    await fill(world, client, 120)
    const seen = new Set<number>()
    const stop = new AbortController()
    const read = async (): Promise<void> => {
      for await (const { value } of client.consumer(lines, {
        group: 'g',
        signal: stop.signal,
        maxBufferedBytes: 2_000
      })) {
        if (random() < 0.05) await new Promise<void>(resolve => world.environment.timer(random() * 2_000, resolve))
        seen.add(value.n)
        if (seen.size === 120) stop.abort()
      }
    }
    const reading = read()
    for (let fault = 0; fault < 15; fault++) {
      const { faults } = world.broker
      const choices = [
        () => faults.fail({ operation: 'receive', client: 'a' }),
        () => faults.fail({ operation: 'commit', when: random() < 0.5 ? 'before' : 'after' }),
        () => faults.fail({ operation: 'seek' }),
        () => faults.fail({ operation: 'join' }),
        () => void faults.kick('g')
      ]
      choices[Math.floor(random() * choices.length)]!()
      await world.environment.advance(random() * 400)
    }
    await world.environment.run(reading)
    expect([...seen].sort((a, b) => a - b)).toEqual(all(120))
    await world.environment.run(client.close())
  })
})
