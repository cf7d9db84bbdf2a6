/** What users of other systems complain about when something beside them fails. Each case names its source; docs/neighbours.md has all. */
import { describe, expect, it } from 'vitest'
import { number, pipeline, processor, text, topic, type Pipeline } from '../../src/index.ts'
import { sleep } from '../../src/core/environment.ts'
import { changelogTopic } from '../../src/exactly-once/index.ts'
import { durableProducer, groupName, splitName, taskName } from '../../src/pipeline/identity.ts'
import { World } from '../pipeline/world.ts'

const asked = topic('asked', { key: text, value: number, partitions: 2 })
const answered = topic('answered', { key: text, value: number, partitions: 2 })

describe('an output that takes nothing for a quarter of an hour', () => {
  // Unacknowledged records pile up, the reader stops for good, and health either kills the process or says nothing:
  // smallrye/smallrye-reactive-messaging#3281, #3035, #2270, quarkusio/quarkus#22561.
  it('makes unready and asks for no new process; then all of it is written once, and all is well', async () => {
    const world = new World()
    for (const { name } of [asked, answered]) world.broker.createTopic({ topic: name, partitions: 2 })
    const client = await world.connect('worker')
    const stop = new AbortController()
    const echo = processor({ name: 'echo', from: asked, to: answered, process: ({ key, value }) => ({ key, value }) })
    const running = client.run(pipeline('echoing', [echo]), { handleSignals: false, signal: stop.signal })
    running.catch(() => {})
    const writer = await world.connect('writer')
    const producer = await writer.producer(asked)
    let sent = 0
    const write = async (count: number): Promise<void> => {
      for (const end = sent + count; sent < end; sent++)
        await world.environment.run(producer.send({ key: `k${sent % 7}`, value: sent }))
    }
    await write(50)
    await world.environment.advance(2_000)
    expect(client.health()).toMatchObject({ live: true, ready: true, problems: [] })

    world.broker.faults.fail({ operation: 'send', topic: 'answered', times: Infinity })
    for (let part = 0; part < 15; part++) {
      await write(20)
      await world.environment.advance(60_000)
    }
    const { live, ready, problems } = client.health()
    expect({ live, ready }).toEqual({ live: true, ready: false })
    expect(problems.map(({ cause }) => cause)).toContain('unreachable')

    world.broker.faults.clear()
    await write(50)
    await world.environment.advance(60_000)
    expect(client.health()).toMatchObject({ live: true, ready: true, problems: [] })
    const values = (await world.records(answered)).map(({ value }) => value as number)
    expect({ written: values.length, different: new Set(values).size }).toEqual({ written: sent, different: sent })
    stop.abort()
    await world.environment.run(running)
    await world.environment.run(Promise.all([client.close(), writer.close()]))
  })
})

describe('names of pipelines and stages that look alike', () => {
  // Two jobs with one transactional id fence each other, or commit each other's work: FLINK-11654, FLINK-9295.
  it('lead to no two tasks, producers, groups or changelogs of one name', () => {
    const pieces = ['a', 'a-b', 'b', 'b-c', 'c', 'a_b', 'A', 'a-', 'a1', 'a-1', 'a-v2']
    const stages = pieces.flatMap(app => pieces.map(stage => [app, stage] as const))
    const groups = stages.flatMap(([app, stage]) => [groupName(app, stage), changelogTopic(app, stage)])
    expect(new Set(groups).size).toBe(groups.length)
    const tasks = stages.flatMap(([app, stage]) => [
      ...[0, 1, 10, 11].map(partition => taskName(app, stage, partition, partition)),
      ...['main', 'a', '1-0'].map(split => splitName(app, stage, split))
    ])
    expect(new Set(tasks.map(({ id }) => id)).size).toBe(tasks.length)
    expect(new Set(tasks.map(durableProducer)).size).toBe(tasks.length)
    for (const name of ['a.b', 'a/b', '', '-a', '1a', 'a b'])
      expect(() => pipeline(name, [processor({ name: 'x', from: asked, process: () => {} })])).toThrow(
        'must be 1 to 63'
      )
  })
})

describe('two members that both believe that a partition is theirs', () => {
  // Two members on one partition after a restart (tulios/kafkajs#1122); one that goes on after its session has ended (#1719, #1645).
  it('count each record once: what the older one has not committed is refused', async () => {
    const world = new World()
    for (const { name } of [asked, answered]) world.broker.createTopic({ topic: name, partitions: 2 })
    const writer = await world.connect('writer')
    const producer = await writer.producer(asked)
    await world.environment.run(
      producer.sendAll(Array.from({ length: 300 }, (_, value) => ({ key: `k${value % 7}`, value })))
    )
    // Each worker writes something else beside: what two of them write cannot be taken for the same.
    const app = (turn: number): Pipeline =>
      pipeline('echoing', [
        processor({
          name: 'echo',
          from: asked,
          to: answered,
          async process({ key, value }) {
            await sleep(world.environment, 10)
            return [...Array.from({ length: turn % 3 }, () => ({ key, value: -1 })), { key, value }]
          }
        })
      ])
    const run = { handleSignals: false, sessionTimeout: 1_000 }
    for (let turn = 0; turn < 5; turn++) {
      const worker = world.worker()
      void worker.run(app(turn), run).catch(() => {})
      await world.environment.advance(300)
      // It hears nothing of its loss, and works on.
      world.broker.faults.hold({ operation: 'receive', client: worker.name })
      world.broker.faults.kick('echoing.echo', worker.name)
    }
    void world
      .worker()
      .run(app(5), run)
      .catch(() => {})
    await world.environment.advance(20_000)
    const values = (await world.records(answered)).map(({ value }) => value as number).filter(value => value >= 0)
    expect({ written: values.length, different: new Set(values).size }).toEqual({ written: 300, different: 300 })
    await world.environment.run(writer.close())
  })
})
