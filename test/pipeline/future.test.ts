/** The guard against clocks from the future: `maxFuture` of a topic, asked where a watermark rests on the times of entries. */
import { describe, expect, it } from 'vitest'
import {
  number,
  pipeline,
  processor,
  sink,
  source,
  text,
  topic,
  type Topic,
  type TopicOptions
} from '../../src/index.ts'
import { drive } from '../../src/testing/index.ts'
import { World } from './world.ts'

const HOUR = 3_600_000
const readings = (options: Partial<TopicOptions<string, number>> = {}): Topic<'readings', string, number> =>
  topic('readings', { key: text, value: number, partitions: 1, ...options })

describe('an event farther ahead than maxFuture', () => {
  it('is refused by a producer, and what comes after it is not late', async () => {
    const world = new World()
    const client = await world.connect('devices')
    const now = world.environment.now()
    const producer = await world.environment.run(client.producer(readings()))
    const send = (ahead: number, value: number): Promise<unknown> =>
      producer.send({ key: 'k', value, eventTime: now + ahead })
    await world.environment.run(send(HOUR, 1))
    await expect(send(HOUR + 1, 2)).rejects.toMatchObject({
      code: 'bad-record',
      message: expect.stringMatching(
        /'readings': event time \d+ is 3600001 ms ahead of the clock here, and maxFuture allows 3600000/
      )
    })
    await world.environment.run(send(HOUR, 3))
    expect((await world.records(readings())).map(({ value, late }) => [value, late])).toEqual([
      [1, false],
      [3, false]
    ])
    await world.environment.run(client.close())
  })

  it('is refused by a source, which then stops', async () => {
    const world = new World()
    const ahead = (maxFuture: number | undefined, milliseconds: number): Promise<void> => {
      const to = readings(maxFuture === undefined ? {} : { maxFuture })
      return world.run(
        pipeline(`ahead-${maxFuture}-${milliseconds}`, [
          source({
            name: 'clock',
            to,
            run: () => [{ key: 'k', value: 1, eventTime: world.environment.now() + milliseconds }]
          })
        ])
      )
    }
    await expect(ahead(undefined, 2 * HOUR)).rejects.toMatchObject({ code: 'bad-record' })
    await expect(ahead(10, 60_000)).rejects.toMatchObject({ code: 'bad-record' })
    await ahead(3 * HOUR, 2 * HOUR)
    await ahead(Infinity, 1e12)
    expect(world.written('readings')).toBe(2)
  })

  it('may be what a processor makes of a record: its promise does not rest on it', async () => {
    const plans = topic('plans', { key: text, value: number, partitions: 1 })
    const late: boolean[] = []
    const plan = processor({
      name: 'plan',
      from: readings(),
      to: plans,
      process: ({ key, value, eventTime }) => ({ key, value, eventTime: eventTime + (value === 1 ? 48 * HOUR : 0) })
    })
    const check = sink({
      name: 'check',
      from: plans,
      write: records => void late.push(...records.map(record => record.late))
    })
    const entries = [1, 2, 3].map(value => ({ key: 'k', value, eventTime: Date.UTC(2026, 0, 1) + value }))
    await drive(pipeline('plans', [plan, check]), { inputs: { readings: entries } })
    expect(late).toEqual([false, false, false])
  })

  it('may be in the input of drive: its clock is not that of the data', async () => {
    const seen: number[] = []
    const stage = processor({ name: 'seen', from: readings(), process: ({ value }) => void seen.push(value) })
    await drive(pipeline('seen', [stage]), {
      inputs: { readings: [{ key: 'k', value: 1, eventTime: Date.UTC(2099, 0) }] }
    })
    expect(seen).toEqual([1])
  })
})

it.each([-1, Number.NaN])('a maxFuture of %d is refused', maxFuture => {
  expect(() => readings({ maxFuture })).toThrow(/maxFuture must be milliseconds, 0 or more/)
})
