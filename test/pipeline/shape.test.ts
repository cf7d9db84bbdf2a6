import { describe, expect, it } from 'vitest'
import { keyed, number, pipeline, processor, text, topic, type Pipeline } from '../../src/index.ts'
import { dice, World } from './world.ts'

const numbers = topic('numbers', { key: text, value: number })
const sums = topic('sums', { key: text, value: number, partitions: 1 })

const stateful = processor({
  name: 'sum',
  from: numbers,
  to: sums,
  state: { sum: keyed(number, 0) },
  process({ key, value }, { state }) {
    state.sum.set(state.sum.get() + value)
    return { key, value: state.sum.get() }
  }
})
const stateless = processor({ name: 'copy', from: numbers, to: sums, process: ({ key, value }) => ({ key, value }) })

function worldWith(partitions: number, commitIn: 'store' | 'broker'): World {
  const world = new World({ commitIn })
  world.broker.createTopic({ topic: 'numbers', partitions })
  return world
}

/** A run that is stopped after a while; gives the error it ended with. */
async function worked(world: World, app: Pipeline, meanwhile: () => void = () => {}): Promise<unknown> {
  const stop = new AbortController()
  const running = world
    .worker()
    .run(app, { handleSignals: false, signal: stop.signal })
    .then(
      () => undefined,
      (error: unknown) => error
    )
  await world.environment.advance(3_000)
  meanwhile()
  await world.environment.advance(10_000)
  stop.abort()
  return world.environment.run(running)
}

/** The same data in a topic with another number of partitions, as an administrator can make it. */
function recreate(world: World, partitions: number): void {
  world.broker.deleteTopic('numbers')
  world.broker.createTopic({ topic: 'numbers', partitions })
}

describe.each(['store', 'broker'] as const)('a topic whose partitions have changed, commits in the %s', commitIn => {
  it.each([2, 8])('is refused by a stage with state by key that began with 4, when there are %d', async now => {
    const world = worldWith(4, commitIn)
    expect(await worked(world, pipeline('app', [stateful]))).toBeUndefined()
    recreate(world, now)
    const error = await worked(world, pipeline('app', [stateful]))
    expect(error).toMatchObject({
      code: 'bad-config',
      message: expect.stringMatching(
        new RegExp(`'numbers' has ${now} partitions, and stage 'sum' of 'app' has its state by key in 4.*copies`)
      )
    })
    // Another name is another stage, which has no state yet.
    expect(await worked(world, pipeline('app2', [stateful]))).toBeUndefined()
  })

  it('is read by a stage without state', async () => {
    const world = worldWith(4, 'store')
    expect(await worked(world, pipeline('app', [stateless]))).toBeUndefined()
    recreate(world, 8)
    expect(await worked(world, pipeline('app', [stateless]))).toBeUndefined()
  })

  it('is no matter when it is the same', async () => {
    const world = worldWith(4, commitIn)
    for (let run = 0; run < 3; run++) expect(await worked(world, pipeline('app', [stateful]))).toBeUndefined()
    expect(dice(1)()).toBeLessThan(1)
  })
})
