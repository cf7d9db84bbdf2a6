import { expect, it } from 'vitest'
import { connect, keyed, number, pipeline, processor, text, topic, type Codec } from '../../src/index.ts'
import { collectGarbage } from '../support/garbage.ts'

const numbers = topic('numbers', { key: text, value: number, partitions: 1 })

it('a client keeps nothing of a run that is over, but that it was', async () => {
  await using client = await connect({ brokers: { default: 'memory:' }, variables: {} })
  await using producer = await client.producer(numbers)

  async function live(): Promise<WeakRef<object>> {
    await producer.send({ key: 'k', value: 1 })
    const stop = new AbortController()
    const kept = { text: 'held by the state of the run' }
    const object: Codec<object> = { name: 'object', encode: () => Buffer.of(0), decode: () => kept }
    const stage = processor({
      name: 'keep',
      from: numbers,
      state: { value: keyed(object) },
      process(_, { state }) {
        state.value.set(kept)
        stop.abort()
      }
    })
    await client.run(pipeline('kept', [stage]), { signal: stop.signal })
    return new WeakRef(kept)
  }

  const kept = await live()
  // What ran last is let go of by the engine a turn later.
  await new Promise(resolve => setImmediate(resolve))
  collectGarbage()
  expect(kept.deref()).toBeUndefined()
  expect(client.health().runs).toEqual([{ pipeline: 'kept', phase: 'ended', tasks: 0 }])
})
