import { connect, json, keyed, number, pipeline, processor, sink, source, text, topic } from 'tidemark'

const trades = topic('trades', { key: text, value: json<{ cents: number }>(), partitions: 4 })
const totals = topic('totals', { key: text, value: number, partitions: 4 })

const ticker = source({
  name: 'ticker',
  to: trades,
  *run({ resume }) {
    for (let trade = Number(resume ?? 0); trade < 6; trade++)
      yield { key: trade % 2 === 0 ? 'ACME' : 'EMCA', value: { cents: 100 * trade }, cursor: trade + 1 }
  }
})

const addUp = processor({
  name: 'add-up',
  from: trades,
  to: totals,
  state: { total: keyed(number, 0) },
  process({ key, value }, { state }) {
    state.total.set(state.total.get() + value.cents)
    return { key, value: state.total.get() }
  }
})

const print = sink({
  name: 'print',
  from: totals,
  write: records => records.forEach(({ key, value }) => console.log(key, value))
})

await using client = await connect({ brokers: { default: process.env['BROKER'] ?? 'memory:' } })
await client.run(pipeline('order-totals', [ticker, addUp, print]))
