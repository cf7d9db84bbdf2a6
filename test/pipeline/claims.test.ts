import { describe, expect, it } from 'vitest'
import { number, pipeline, processor, sink, source, text, topic } from '../../src/index.ts'
import { World } from './world.ts'

const entries = topic('entries', { key: text, value: number, eventTime: value => value, partitions: 1 })
const copies = topic('copies', { key: text, value: number, eventTime: value => value, partitions: 1 })

describe('what a task claims in its vitals', () => {
  it('is in the topic: a reader that finds nothing there gives up waiting, and what came later would be late', async () => {
    const world = new World()
    const late: boolean[] = []
    const copy = processor({ name: 'copy', from: entries, to: copies, process: ({ key, value }) => ({ key, value }) })
    const feed = source({
      name: 'feed',
      to: entries,
      *run() {
        for (const value of [1_000, 2_000, 3_000]) yield { key: 'a', value }
      }
    })
    const end = sink({
      name: 'end',
      from: copies,
      write: records => void late.push(...records.map(record => record.late))
    })
    // The leader of `copies` is away for longer than a reader waits.
    world.broker.faults.fail({ operation: 'send', topic: 'copies', times: Infinity })
    const running = world.worker().run(pipeline('app', [feed, copy, end]), { handleSignals: false })
    await world.environment.advance(50_000)
    const told = (await world.tasks()).get('app/copy/0')!
    expect(told.outputs.get('copies')!.last.get(0) ?? 0).toBe(0)
    expect(told.outputs.get('copies')!.watermark).toBe(-Infinity)

    world.broker.faults.clear()
    await world.environment.run(running)
    expect(late).toEqual([false, false, false])
    expect((await world.tasks()).get('app/copy/0')!.outputs.get('copies')!.last.get(0)).toBe(3)
  })
})
