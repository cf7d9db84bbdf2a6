/** Producers outside of a pipeline: who is here is waited for, also when nothing of it arrives. */
import { expect, it } from 'vitest'
import { json, pipeline, processor, text, topic } from '../../src/index.ts'
import { round, vitalsTopic } from '../../src/watermark/index.ts'
import { World } from './world.ts'

const readings = topic('readings', { key: text, value: json<number>(), eventTime: at => at, partitions: 1 })

it('a producer whose records no broker takes for a minute is waited for: none of them is late', async () => {
  const world = new World()
  const { environment } = world
  world.broker.createTopic({ topic: 'readings', partitions: 1 })
  const seen: { key: string; late: boolean }[] = []
  const look = processor({
    name: 'look',
    from: readings,
    process: ({ key, late }) => void seen.push({ key, late })
  })
  const stop = new AbortController()
  const running = world.worker().run(pipeline('app', [look]), { handleSignals: false, signal: stop.signal })
  running.catch(() => {})
  await environment.advance(1_000)
  const [steady, stuck] = await Promise.all([world.connect('steady'), world.connect('stuck')])
  const one = await environment.run(steady.producer(readings))
  const other = await environment.run(stuck.producer(readings))
  world.broker.faults.fail({ operation: 'send', client: 'stuck', topic: 'readings', times: 1_000_000 })
  const sent: Promise<unknown>[] = []
  for (let second = 0; second < 60; second++) {
    sent.push(one.send({ key: 'steady', value: environment.now() }))
    sent.push(other.send({ key: 'stuck', value: environment.now() }))
    await environment.advance(1_000)
  }
  expect(seen.filter(({ key }) => key === 'stuck')).toHaveLength(0)
  world.broker.faults.clear()
  await environment.run(Promise.all(sent))
  await environment.advance(5_000)
  expect(seen.filter(({ late }) => late)).toEqual([])
  expect(seen).toHaveLength(120)
  stop.abort()
  await environment.run(Promise.all([running, steady.close(), stuck.close()]))
})

it('what retention took of a producer that has left holds nobody up, however busy its partition is', async () => {
  const world = new World()
  const { environment, broker } = world
  broker.createTopic({ topic: 'readings', partitions: 1 })
  const gone = await world.connect('gone')
  const first = await environment.run(gone.producer(readings))
  await environment.run(Promise.all([1, 2, 3].map(() => first.send({ key: 'gone', value: environment.now() }))))
  await environment.run(gone.close())
  const [log] = broker.findTopic('readings')!.partitions
  log!.truncate(log!.end)
  const steady = await world.connect('steady')
  const producer = await environment.run(steady.producer(readings))
  const seen: { late: boolean; watermark: number }[] = []
  const look = processor({
    name: 'look',
    from: readings,
    process: ({ late }, { watermark }) => void seen.push({ late, watermark })
  })
  const stop = new AbortController()
  const running = world.worker().run(pipeline('app', [look]), { handleSignals: false, signal: stop.signal })
  running.catch(() => {})
  for (let second = 0; second < 90; second++) {
    await environment.run(producer.send({ key: 'steady', value: environment.now() }))
    await environment.advance(1_000)
  }
  expect(seen.filter(({ late }) => late)).toEqual([])
  expect(environment.now() - seen.at(-1)!.watermark).toBeLessThan(5_000)
  stop.abort()
  await environment.run(Promise.all([running, steady.close()]))
})

it('a producer that joins others is not late, also when the readers hear of it seconds after its first records', async () => {
  const world = new World()
  const { environment, broker } = world
  broker.createTopic({ topic: 'readings', partitions: 1 })
  const seen: { key: string; late: boolean; behind: number }[] = []
  const look = processor({
    name: 'look',
    from: readings,
    process: ({ key, late, eventTime }, { watermark }) =>
      void seen.push({ key, late, behind: environment.now() - Math.max(watermark, eventTime - 60_000) })
  })
  const stop = new AbortController()
  const running = world.worker().run(pipeline('app', [look]), { handleSignals: false, signal: stop.signal })
  running.catch(() => {})
  const [steady, newcomer] = await Promise.all([world.connect('steady'), world.connect('newcomer')])
  const one = await environment.run(steady.producer(readings))
  const sent: Promise<unknown>[] = []
  const goOn = async (milliseconds: number): Promise<void> => {
    for (let waited = 0; waited < milliseconds; waited += 100) {
      sent.push(one.send({ key: 'steady', value: environment.now() }))
      await environment.advance(100)
    }
  }
  await goOn(3_000)
  expect(seen.at(-1)!.behind, 'nothing holds the watermark').toBeLessThan(1_000)
  broker.faults.fail({ operation: 'read-partition', topic: vitalsTopic, times: 1_000_000 })
  // A read that is under way still hears what is said.
  await goOn(600)
  const joining = newcomer.producer(readings)
  await goOn(1_500)
  const other = await environment.run(joining)
  broker.faults.fail({ operation: 'send', client: 'newcomer', topic: 'readings', times: 3 })
  sent.push(other.send({ key: 'newcomer', value: environment.now() }))
  await goOn(3_000)
  broker.faults.clear()
  await goOn(2_000)
  await environment.run(Promise.all(sent))
  await environment.advance(1_000)
  expect(seen.filter(({ key }) => key === 'newcomer')).toHaveLength(1)
  expect(seen.filter(({ late }) => late)).toEqual([])
  stop.abort()
  await environment.run(Promise.all([running, steady.close(), newcomer.close()]))
})

it('watermarks go on when the vitals have been lost for half a minute', async () => {
  const world = new World()
  const { environment, broker } = world
  broker.createTopic({ topic: 'readings', partitions: 1 })
  const behind: number[] = []
  const look = processor({
    name: 'look',
    from: readings,
    process: (_, { watermark }) => void behind.push(environment.now() - watermark)
  })
  const stop = new AbortController()
  const running = world.worker().run(pipeline('app', [look]), { handleSignals: false, signal: stop.signal })
  running.catch(() => {})
  const steady = await world.connect('steady')
  const one = await environment.run(steady.producer(readings))
  await environment.advance(1_000)
  broker.faults.fail({ operation: 'read-partition', topic: vitalsTopic, times: 1_000_000 })
  for (let second = 0; second < 60; second++) {
    await environment.run(one.send({ key: 'steady', value: environment.now() }))
    await environment.advance(1_000)
  }
  expect(behind[20], 'it waits').toBeGreaterThan(15_000)
  expect(behind.at(-1), 'it goes on').toBeLessThan(3_000)
  stop.abort()
  await environment.run(Promise.all([running, steady.close()]))
})

it('a producer waits for the readers where others write, and only there', async () => {
  const world = new World()
  const { environment, broker } = world
  broker.createTopic({ topic: 'readings', partitions: 1 })
  const joins = async (name: string): Promise<{ took: number; close(): Promise<void> }> => {
    const client = await world.connect(name)
    const began = environment.monotonic()
    await environment.run(client.producer(readings))
    return { took: environment.monotonic() - began, close: () => environment.run(client.close()) }
  }
  const first = await joins('first')
  expect(first.took).toBeLessThan(100)
  const second = await joins('second')
  expect(second.took).toBeGreaterThanOrEqual(round)
  await first.close()
  await second.close()
  expect((await joins('third')).took).toBeLessThan(100)
})
