/** Law 8: what waits for the relay is bounded in bytes, whatever part of a record they are in. */
import { expect, it } from 'vitest'
import { number, pipeline, source, text, topic } from '../../src/index.ts'
import { World } from './world.ts'

const weight = 'x'.repeat(65_536)
const most = 40 * 1024 * 1024

it.each<[string, (value: number) => { key: string; headers?: Record<string, string> }]>([
  ['keys', value => ({ key: `${weight}${value}` })],
  ['headers', value => ({ key: `${value}`, headers: { weight } })]
])('a source whose broker takes nothing stops before its %s fill the memory', async (_, heavy) => {
  const world = new World()
  const numbers = topic('numbers', { key: text, value: number, partitions: 1 })
  world.broker.faults.fail({ operation: 'send', topic: 'numbers', times: Infinity })
  let emitted = 0
  const feed = source({
    name: 'feed',
    to: numbers,
    *run() {
      for (; emitted < 4_000; emitted++) yield { ...heavy(emitted), value: emitted }
    }
  })
  const stop = new AbortController()
  const ended = world
    .worker()
    .run(pipeline('app', [feed]), { handleSignals: false, signal: stop.signal, drainTimeout: 1_000 })
  await world.environment.advance(60_000)
  expect(emitted * weight.length).toBeGreaterThan(most / 2)
  expect(emitted * weight.length).toBeLessThan(most)
  world.broker.faults.clear()
  await world.environment.advance(60_000)
  expect(emitted).toBe(4_000)
  stop.abort()
  await world.environment.run(ended)
  expect(world.written('numbers')).toBe(4_000)
})

it('a source whose broker is slow goes on as soon as there is room, and does not wait until everything is sent', async () => {
  const world = new World()
  const numbers = topic('numbers', { key: text, value: number, partitions: 1 })
  // A megabyte takes a second.
  world.broker.faults.delay({ operation: 'send', topic: 'numbers', milliseconds: 1_000, times: Infinity })
  const emittedAt: number[] = []
  const feed = source({
    name: 'feed',
    to: numbers,
    *run() {
      for (let value = 0; value < 1_600; value++) {
        emittedAt.push(world.environment.monotonic())
        yield { key: `${weight}${value}`, value }
      }
    }
  })
  await world.environment.run(world.worker().run(pipeline('app', [feed]), { handleSignals: false }))
  const pauses = emittedAt.slice(1).map((at, index) => at - emittedAt[index]!)
  expect(Math.max(...pauses)).toBeGreaterThan(1_000)
  expect(Math.max(...pauses)).toBeLessThan(15_000)
})
