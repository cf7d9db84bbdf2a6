import { describe, expect, it } from 'vitest'
import { number, pipeline, processor, sink, source, StreamError, text, topic, type Pipeline } from '../../src/index.ts'
import { failure } from '../support/failure.ts'
import { World } from './world.ts'

const words = topic('words', { key: text, value: text })
const counts = topic('counts', { key: text, value: number })

describe('a run that cannot start says why, and what to do', () => {
  const start = async (app: Pipeline, options: object = {}): Promise<StreamError> => {
    const world = new World()
    world.broker.createTopic({ topic: 'words', partitions: 4 })
    const client = await world.connect('a')
    try {
      return await failure(() => world.environment.run(client.run(app, { handleSignals: false, ...options })))
    } finally {
      await world.environment.run(client.close())
    }
  }
  const echo = processor({ name: 'echo', from: words, process: () => {} })

  it('when a topic is missing', async () => {
    const error = await start(pipeline('p', [processor({ name: 'count', from: words, to: counts, process: () => {} })]))
    expect(error.code).toBe('unknown-topic')
    expect(error.message).toMatch(
      /^topic 'counts' is not on memory:.*: create it with client.admin.create\(topic, \{ partitions: 4 \}\), or give its definition `partitions` to have it created$/
    )
  })

  it('when partition counts do not agree with a definition', async () => {
    const error = await start(
      pipeline('p', [
        processor({ name: 'echo', from: topic('words', { key: text, value: text, partitions: 8 }), process: () => {} })
      ])
    )
    expect(error).toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining("topic 'words' has 4 partitions")
    })
    expect(error.message).toContain('its definition says 8: make them agree')
  })

  it('when inputs of one stage are not co-partitioned', async () => {
    const other = topic('other', { key: text, value: text, partitions: 2 })
    const error = await start(pipeline('p', [processor({ name: 'join', from: [words, other], process: () => {} })]))
    expect(error).toMatchObject({ code: 'bad-config' })
    expect(error.message).toBe(
      "stage 'join' reads topics with different partition counts (words has 4, other has 2): task i reads partition i of each. Repartition one through a topic of the same count"
    )
  })

  it('when a topic is defined twice', async () => {
    const twin = topic('words', { key: text, value: text })
    const error = await start(pipeline('p', [echo, sink({ name: 'out', from: twin, write: () => {} })]))
    expect(error).toMatchObject({
      code: 'bad-config',
      message: "pipeline 'p' has two different definitions of topic 'words': share one"
    })
  })

  it.each<[object, string]>([
    [{ commitIntervall: 5 }, "run: unknown option 'commitIntervall'; known are"],
    [
      { guarantee: 'exactly once' },
      "run: option 'guarantee' must be one of exactly-once, at-least-once, got 'exactly once'"
    ],
    [{ commitInterval: 0 }, "run: option 'commitInterval' must be above 0, got 0"],
    [{ commitInterval: '5' }, "run: option 'commitInterval' must be a number"],
    [{ handleSignals: 'no' }, "run: option 'handleSignals' must be a boolean"]
  ])('when its options are wrong: %o', async (options, message) => {
    const error = await start(pipeline('p', [echo]), options)
    expect(error).toMatchObject({ code: 'bad-config', message: expect.stringContaining(message) })
  })

  it('when the client is closed', async () => {
    const world = new World()
    const client = await world.connect('a')
    await world.environment.run(client.close())
    await world.environment.run(client.close())
    expect(await failure(() => client.run(pipeline('p', [echo])))).toMatchObject({
      code: 'closed',
      message: 'the client is closed'
    })
  })

  it('when a sink cannot be opened', async () => {
    const broken = {
      grade: 'idempotent' as const,
      open: () => Promise.reject(new StreamError('bad-config', 'no such table'))
    }
    expect(await start(pipeline('p', [sink({ name: 'out', from: words, write: broken })]))).toMatchObject({
      code: 'bad-config',
      message: 'no such table'
    })
  })

  it('when two workers start at once, both create what is missing, and neither fails', async () => {
    const world = new World()
    const fresh = topic('fresh', { key: text, value: text, partitions: 3 })
    const app = pipeline('p', [
      source({
        name: 'src',
        to: fresh,
        *run() {
          yield { key: 'a', value: 'b' }
        }
      }),
      sink({ name: 'out', from: fresh, write: () => {} })
    ])
    await world.environment.run(Promise.all([1, 2, 3].map(() => world.worker().run(app, { handleSignals: false }))))
    expect((await world.records(fresh)).length).toBe(1)
  })

  it('and one that starts while the broker is away starts when it is back', async () => {
    const world = new World()
    const fresh = topic('fresh', { key: text, value: text, partitions: 1 })
    const worker = world.worker()
    world.broker.faults.fail({ operation: 'admin', times: 3 })
    world.broker.faults.fail({ operation: 'send', times: 2 })
    world.broker.faults.fail({ operation: 'producer', times: 2 })
    world.broker.faults.fail({ operation: 'read-partition', times: 2 })
    world.broker.faults.fail({ operation: 'join', times: 2 })
    await world.environment.run(
      worker.run(
        pipeline('p', [
          source({
            name: 'src',
            to: fresh,
            *run() {
              yield { key: 'a', value: 'b' }
            }
          }),
          sink({ name: 'out', from: fresh, write: () => {} })
        ]),
        { handleSignals: false }
      )
    )
    expect((await world.records(fresh)).length).toBe(1)
    expect(world.broker.faults.pending).toBe(0)
  })
})

describe('definitions are refused', () => {
  it.each<[string, () => unknown, string]>([
    ['a pipeline without stages', () => pipeline('p', []), "pipeline 'p' has no stages"],
    [
      'two stages of one name',
      () =>
        pipeline('p', [
          sink({ name: 'a', from: words, write: () => {} }),
          sink({ name: 'a', from: words, write: () => {} })
        ]),
      "two stages named 'a'"
    ],
    ['a name with a slash', () => sink({ name: 'a/b', from: words, write: () => {} }), "name 'a/b' must be"],
    [
      'a name with a dot',
      () => pipeline('a.b', [sink({ name: 'a', from: words, write: () => {} })]),
      "name 'a.b' must be"
    ],
    ['an empty name', () => sink({ name: '', from: words, write: () => {} }), "name '' must be"]
  ])('%s', (_, define, message) => {
    expect(define).toThrow(message)
  })
})
