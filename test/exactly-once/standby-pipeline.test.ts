/** Workers that stand by for each other, on a simulated clock: one is killed, and what comes out is counted again. */
import { describe, expect, it } from 'vitest'
import { sleep } from '../../src/core/environment.ts'
import {
  keyed,
  number,
  pipeline,
  processor,
  source,
  text,
  topic,
  type Guarantee,
  type Pipeline
} from '../../src/index.ts'
import { heard } from '../support/heard.ts'
import { World } from '../pipeline/world.ts'

const keys = 40
const partitions = 4
const inputs = topic('inputs', { key: text, value: number, partitions })
const counts = topic('counts', { key: text, value: number, partitions })
const settings = { handleSignals: false, commitInterval: 50, sessionTimeout: 4_000, standby: true }

/** Counts the records of each key. */
function counting(world: World, total: number): Pipeline {
  const feed = source({
    name: 'feed',
    to: inputs,
    async *run({ resume }) {
      for (let value = Number(resume ?? 0); value < total; value++) {
        yield { key: `k${value % keys}`, value, cursor: value + 1 }
        if (value % 20 === 19) await sleep(world.environment, 100)
      }
    }
  })
  const count = processor({
    name: 'count',
    from: inputs,
    to: counts,
    state: { count: keyed(number, 0) },
    process({ key }, { state }) {
      state.count.set(state.count.get() + 1)
      return { key, value: state.count.get() }
    }
  })
  return pipeline('standing-by', [feed, count])
}

describe('workers that stand by', () => {
  it.each<Guarantee>(['exactly-once', 'at-least-once'])('take over with little to read, %s', async guarantee => {
    const total = 4_000
    const world = new World({ commitIn: 'broker' })
    const read = heard('changelog-read')
    const followed = heard('changelog-followed')
    const app = counting(world, total)
    const owner = world.worker()
    void owner.run(app, { ...settings, guarantee })
    const other = world.worker().run(app, { ...settings, guarantee })
    await world.environment.advance(10_000)
    // Each follows what the other holds.
    expect(new Set(followed.slice(-partitions).map(({ task }) => task)).size).toBeGreaterThan(1)
    read.length = 0
    owner.kill()
    await world.environment.run(other)
    const taken = read.filter(({ task }) => task.startsWith('standing-by/count/'))
    expect(taken.length).toBeGreaterThan(0)
    for (const { task, standby, records } of taken) {
      const all = world.broker.log({ topic: 'standing-by.count.changelog', partition: Number(task.slice(-1)) }).end
      expect({ task, standby }).toEqual({ task, standby: true })
      expect(records, task).toBeLessThan(all / 4)
    }
    const found = (await world.records(counts)).map(({ key, value }) => `${key} ${value}`)
    const right = Array.from({ length: total }, (_, index) => `k${index % keys} ${Math.floor(index / keys) + 1}`)
    if (guarantee === 'exactly-once') expect(found.sort()).toEqual(right.sort())
    else expect(new Set(found)).toEqual(new Set(right))
  })

  it('keep nothing where it was not asked for', async () => {
    const world = new World({ commitIn: 'broker' })
    const followed = heard('changelog-followed')
    const app = counting(world, 100)
    await Promise.race([world.run(app, { ...settings, standby: false }), world.environment.advance(20_000)])
    expect(followed).toEqual([])
  })
})
