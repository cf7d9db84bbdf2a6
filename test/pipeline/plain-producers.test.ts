/** Producers outside of a pipeline: who is here is waited for, also when nothing of it arrives. */
import { expect, it } from 'vitest'
import { json, pipeline, processor, text, topic } from '../../src/index.ts'
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
