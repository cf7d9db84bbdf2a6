/** What becomes of a batch whose requests fare differently; the service is one of ours. */
import { describe, expect, test } from 'vitest'
import type { Connection } from '../../../src/adapters/pubsub/connection.ts'
import { PubsubProducer } from '../../../src/adapters/pubsub/producer.ts'
import { record } from '../../support/records.ts'

interface Call {
  readonly topic: string
  readonly values: readonly string[]
  readonly keys: ReadonlySet<string | undefined>
  answer(): void
  refuse(error: Error): void
}

/** A producer whose requests are answered one by one. */
function producer(ordered: boolean = false): { producer: PubsubProducer; calls: Call[] } {
  const calls: Call[] = []
  const publisher = (_method: unknown, { topic, messages }: { topic: string; messages: any[] }): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const values = messages.map(({ data }) => Buffer.from(data).toString())
      const keys = new Set<string | undefined>(messages.map(({ orderingKey }) => orderingKey))
      const answer = (): void => resolve([{ messageIds: values.map(value => `id-${value}`) }])
      calls.push({ topic, values, keys, answer, refuse: reject })
    })
  const connection = { project: 'p', publisher } as unknown as Connection
  return { producer: new PubsubProducer({ connection, isOrdered: () => ordered }), calls }
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
const many = (count: number, partitions: number): ReturnType<typeof record>[] =>
  Array.from({ length: count }, (_, index) => record('orders', index % partitions, String(index)))

describe('batches to Pub/Sub', () => {
  test('a few requests are under way at once, 1,000 messages each; positions are message ids', async () => {
    const { producer: own, calls } = producer()
    const sending = own.send(many(9_500, 3))
    await turn()
    expect(calls.map(({ values }) => values.length)).toEqual(Array(8).fill(1000))
    calls[2]!.answer()
    await turn()
    expect(calls).toHaveLength(9)
    for (const call of calls) call.answer()
    await turn()
    for (const call of calls) call.answer()
    const results = await sending
    expect(results).toEqual(Array.from({ length: 9_500 }, (_, index) => ({ ok: true, position: `id-${index}` })))
    await own.close()
    await expect(own.send(many(1, 1))).rejects.toMatchObject({ code: 'closed' })
  })

  test('after a failure what follows in its partitions has failed, too, written or not; others are not touched', async () => {
    const { producer: own, calls } = producer()
    // 0 to 999 in partition 0, then 0 and 1 by turns, then partition 1 alone.
    const batch = Array.from({ length: 4_500 }, (_, index) =>
      record('orders', index < 1000 ? 0 : index < 2000 ? index % 2 : 1, String(index))
    )
    const sending = own.send(batch)
    await turn()
    calls[2]!.answer()
    calls[3]!.answer()
    await turn()
    const error = new Error('14 UNAVAILABLE')
    calls[1]!.refuse(error)
    await turn()
    calls[0]!.answer()
    for (const call of calls.slice(4)) call.answer()
    const results = await sending
    const ok = results.map(result => result.ok)
    expect(ok.slice(0, 1000)).toEqual(Array(1000).fill(true))
    expect(ok.slice(1000)).toEqual(Array(3500).fill(false))
    expect(results.slice(1000).every(result => !result.ok && result.error === error)).toBe(true)
  })

  test('a partition that did not fail goes on', async () => {
    const { producer: own, calls } = producer()
    const batch = [...many(1000, 1), ...Array.from({ length: 4_000 }, (_, index) => record('orders', 1, `b${index}`))]
    const sending = own.send(batch)
    await turn()
    calls[0]!.refuse(new Error('x'))
    for (const call of calls.slice(1)) call.answer()
    await turn()
    for (const call of calls.slice(4)) call.answer()
    const results = await sending
    expect(results.map(result => result.ok)).toEqual([...Array(1000).fill(false), ...Array(4000).fill(true)])
  })

  test('with an order to keep, requests of a partition follow each other, and nothing is sent behind a failure', async () => {
    const { producer: own, calls } = producer(true)
    const sending = own.send(many(4_000, 2))
    await turn()
    expect(calls.map(({ values, keys }) => [values.length, [...keys]])).toEqual([
      [1000, ['0']],
      [1000, ['1']]
    ])
    calls[0]!.refuse(new Error('x'))
    calls[1]!.answer()
    await turn()
    expect(calls).toHaveLength(3)
    calls[2]!.answer()
    const results = await sending
    expect(results.map(result => result.ok)).toEqual(Array.from({ length: 4_000 }, (_, index) => index % 2 === 1))
  })

  test('topics do not wait for each other', async () => {
    const { producer: own, calls } = producer()
    const sending = own.send([record('a', 0, '1'), record('b', 0, '2'), record('a', 0, '3')])
    await turn()
    expect(calls.map(({ topic, values }) => [topic, values])).toEqual([
      ['projects/p/topics/a', ['1', '3']],
      ['projects/p/topics/b', ['2']]
    ])
    calls[0]!.refuse(new Error('x'))
    calls[1]!.answer()
    expect((await sending).map(result => result.ok)).toEqual([false, true, false])
  })
})
