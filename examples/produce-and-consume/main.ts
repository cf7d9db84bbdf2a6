/** The lower floor, without a pipeline: send records, read them in a group, and see when a record counts as done. */
import { connect, json, text, topic } from 'tidemark'

interface Trade {
  readonly cents: number
  readonly at: number
}

const trades = topic('trades', { key: text, value: json<Trade>(), eventTime: trade => trade.at, partitions: 1 })

await using client = await connect({ brokers: { default: process.env['BROKER'] ?? 'memory:' } })

const producer = await client.producer(trades)
const noon = Date.UTC(2026, 0, 1, 12)
const receipt = await producer.send({ key: 'ACME', value: { cents: 1_250, at: noon } })
console.log(`sent to partition ${receipt.partition}`)
await producer.sendAll([
  { key: 'EMCA', value: { cents: 80, at: noon + 1_000 } },
  { key: 'ACME', value: { cents: 1_300, at: noon + 2_000 } }
])
await producer.close()

for (const member of ['first', 'second']) {
  for await (const { key, value, eventTime } of client.consumer(trades, { group: 'audit' })) {
    console.log(`${member}: ${key} at ${value.cents} cents, ${new Date(eventTime).toISOString()}`)
    // A record is done when the loop asks for the next one. This one is not: whoever reads next in the group gets it again.
    if (key === 'EMCA' && member === 'first') break
    if (value.cents === 1_300) break
  }
}
