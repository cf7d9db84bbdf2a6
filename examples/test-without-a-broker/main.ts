/**
 * A processor tested on its own, in memory, with any test runner or none: what goes in, what must come out. Lateness and
 * time are part of the input, so no test waits for a clock.
 */
import assert from 'node:assert/strict'
import { connect, pipeline, sink, source, type Entry } from 'tidemark'
import { alerts, readings, watch, type Alert, type Reading } from './watch.ts'

/** Runs `watch` over the entries and gives what it wrote, in order. */
async function outputsOf(entries: readonly Entry<string, Reading>[]): Promise<Alert[]> {
  const found: Alert[] = []
  const feed = source({ name: 'feed', to: readings, run: () => entries })
  const collect = sink({
    name: 'collect',
    from: alerts,
    write: records => void found.push(...records.map(({ value }) => value))
  })
  await using client = await connect({ brokers: { default: 'memory:' } })
  await client.run(pipeline('test', [feed, watch, collect]))
  return found
}

const at = (minute: number, celsius: number): Entry<string, Reading> => ({ key: 'boiler', value: { minute, celsius } })

assert.deepEqual(await outputsOf([at(0, 20), at(1, 21)]), [])
console.log('ok: nothing to say while it is cool')

assert.deepEqual(await outputsOf([at(0, 90), at(1, 95), at(2, 91), at(6, 20)]), [{ from: 0, to: 2, most: 95 }])
console.log('ok: one alert for a hot spell, when it is over')

assert.deepEqual(await outputsOf([at(1, 95), at(0, 90), at(6, 20)]), [{ from: 0, to: 1, most: 95 }])
console.log('ok: the order of arrival does not matter within the lateness')

assert.deepEqual(await outputsOf([at(0, 90), at(10, 20), at(2, 99)]), [{ from: 0, to: 0, most: 90 }])
console.log('ok: what comes later than that does not change an alert')
