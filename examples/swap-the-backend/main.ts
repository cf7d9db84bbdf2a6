/**
 * One program, any backend: only the URL changes, the answer does not.
 *
 *     BROKER=memory: node examples/swap-the-backend/main.ts
 *     BROKER=file:./data node examples/swap-the-backend/main.ts
 *     BROKER=kafka://localhost:9092 node examples/swap-the-backend/main.ts
 */
import { connect, json, keyed, number, pipeline, processor, sink, source, text, topic } from 'tidemark'

// A pipeline is known by its name: under the same name, a second run would find that all is done.
const run = process.env['RUN'] ?? Date.now().toString(36)

const orders = topic(`orders-${run}`, { key: text, value: json<{ cents: number }>(), partitions: 4 })
const totals = topic(`totals-${run}`, { key: text, value: number, partitions: 4 })

const replay = source({
  name: 'replay',
  to: orders,
  *run({ resume }) {
    for (let order = Number(resume ?? 0); order < 10_000; order++)
      yield { key: `customer ${order % 10}`, value: { cents: order }, cursor: order + 1 }
  }
})

const addUp = processor({
  name: 'add-up',
  from: orders,
  to: totals,
  state: { total: keyed(number, 0) },
  process({ key, value }, { state }) {
    state.total.set(state.total.get() + value.cents)
    return { key, value: state.total.get() }
  }
})

const latest = new Map<string, number>()
const collect = sink({
  name: 'collect',
  from: totals,
  write: records => {
    for (const { key, value } of records) latest.set(key, value)
  }
})

await using client = await connect({ brokers: { default: process.env['BROKER'] ?? 'memory:' } })
await client.run(pipeline(`swap-${run}`, [replay, addUp, collect]))

for (const [customer, cents] of [...latest].sort()) console.log(`${customer}: ${(cents / 100).toFixed(2)}`)
