import { describe, expect, it } from 'vitest'
import { json, keyed, number, pipeline, processor, text, topic } from '../../src/index.ts'
import { checkHistory, crash, drive, type Anomaly, type History, type SeenEffect } from '../../src/testing/index.ts'

const sent = Array.from({ length: 6 }, (_, id) => ({ id, key: id % 2 === 0 ? 'even' : 'odd' }))
const effects = sent.map(({ id }): SeenEffect => ({ id, value: id * 10, partition: id % 2, position: id }))
const good: History = {
  sent,
  places: { table: { seen: effects, expected: id => Number(id) * 10 }, topic: { seen: effects } },
  together: [['table', 'topic']],
  state: { found: new Map([['even', 3]]), expected: new Map([['even', 3]]) }
}
const anomalies = (history: Partial<History>): Anomaly[] =>
  checkHistory({ ...good, together: [], ...history }).found.map(({ anomaly }) => anomaly)
const topicOf = (seen: SeenEffect[]): Partial<History> => ({ places: { topic: { seen } } })

describe('the recount of a history', () => {
  it('finds nothing where nothing is wrong', () => {
    expect(checkHistory(good)).toEqual({ found: [], repeats: 0, records: 6 })
  })

  it('takes the rows of a database, which have no prototype, for what they hold', () => {
    const rows = sent.map(({ id }): SeenEffect => ({ id, value: Object.assign(Object.create(null), { balance: id }) }))
    const table = { seen: rows, expected: (id: unknown) => ({ balance: id }) }
    expect(anomalies({ places: { table } })).toEqual([])
  })

  it.each<[what: string, history: Partial<History>, found: Anomaly[]]>([
    ['what has no effect', topicOf(effects.slice(1)), ['lost-write']],
    ['what has two', topicOf([...effects, { id: 3 }]), ['duplicate']],
    ['an effect of nothing', topicOf([...effects, { id: 'x' }]), ['aborted-read']],
    ['an effect under the key of another', topicOf(effects.with(0, { id: 0, key: 'odd' })), ['aborted-read']],
    [
      'an effect of an attempt that was given up',
      { places: { table: { seen: effects.with(2, { id: 2, value: 21 }), expected: id => Number(id) * 10 } } },
      ['aborted-read']
    ],
    [
      'a key out of order',
      topicOf([...effects.slice(2), effects[0]!, effects[1]!].map(({ id }) => ({ id }))),
      ['nonmonotonic-poll', 'nonmonotonic-poll']
    ],
    [
      'a position that goes back',
      topicOf([{ ...effects[0]!, position: 9 }, ...effects.slice(1)]),
      ['nonmonotonic-poll', 'nonmonotonic-poll']
    ],
    ['two effects at one position', topicOf(effects.with(2, { ...effects[2]!, position: 0 })), ['inconsistent-offset']],
    [
      'half a commit',
      { ...good, places: { ...good.places, topic: { seen: effects.slice(0, 5) } } },
      ['lost-write', 'torn-commit']
    ],
    [
      'state that is behind',
      { state: { found: new Map([['even', 2]]), expected: new Map([['even', 3]]) } },
      ['wrong-state']
    ],
    ['state of nobody', { state: { found: new Map([['x', 2]]), expected: new Map() } }, ['wrong-state']],
    ['a run without an end', { ended: false }, ['unseen']]
  ])('finds %s', (_, history, found) => {
    expect(anomalies(history)).toEqual(found)
  })

  it('counts repeats where a reader of ours drops them, and takes order for nothing where there is none', () => {
    const seen = [...effects.toReversed(), ...effects].map(({ id }) => ({ id }))
    const places = { topic: { seen, repeats: 'counted', ordered: false } } as const
    expect(checkHistory({ sent, places })).toEqual({ found: [], repeats: 6, records: 6 })
  })

  it('says what it cannot tell', () => {
    expect(() => checkHistory({ sent: [...sent, sent[0]!], places: {} })).toThrow('two inputs have the identity 0')
    expect(() => checkHistory({ ...good, together: [['table', 'tabel']] })).toThrow("'tabel'")
  })

  it('recounts a pipeline of a user, whatever dies', async () => {
    const orders = topic('orders', { key: text, value: json<{ id: number; cents: number }>() })
    const invoices = topic('invoices', { key: text, value: json<{ id: number; total: number }>() })
    const bill = processor({
      name: 'bill',
      from: orders,
      to: invoices,
      state: { total: keyed(number, 0) },
      process({ key, value }, { state }) {
        state.total.set(state.total.get() + value.cents)
        return { key, value: { id: value.id, total: state.total.get() } }
      }
    })
    const input = Array.from({ length: 30 }, (_, id) => ({ key: `customer ${id % 4}`, value: { id, cents: id } }))
    const { outputs } = await drive(pipeline('billing', [bill]), {
      inputs: { orders: [...input.slice(0, 7), crash(), ...input.slice(7, 20), crash(), ...input.slice(20)] }
    })
    const totals = new Map<string, number>()
    const expected = new Map(
      input.map(({ key, value }) => {
        totals.set(key, (totals.get(key) ?? 0) + value.cents)
        return [value.id, totals.get(key)!]
      })
    )
    const { found } = checkHistory({
      sent: input.map(({ key, value }) => ({ id: value.id, key })),
      places: {
        invoices: {
          seen: outputs['invoices']!.map(({ key, value }) => ({ id: value.id, key, value: value.total })),
          expected: id => expected.get(Number(id))
        }
      }
    })
    expect(found).toEqual([])
  })
})
