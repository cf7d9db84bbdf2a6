/**
 * A user's program: compiled against the published types with no vendor package installed, and run in its compiled form
 * on the oldest Node that the package is published for. Prints one line of JSON.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  connect,
  json,
  keyed,
  number,
  pipeline,
  processor,
  sink,
  source,
  StreamError,
  text,
  topic,
  type BrokerConfig,
  type Capabilities,
  type ErrorCode,
  type RecordOf
} from 'tidemark'
import { avro, memoryRegistry } from 'tidemark/schema'
import type { Adapter } from 'tidemark/spec'
import { sqlite } from 'tidemark/sqlite'
import { memory } from 'tidemark/testing'

interface Trade {
  readonly cents: number
  readonly at: number
}

const trades = topic('trades', {
  key: text,
  value: json<Trade>(),
  eventTime: trade => trade.at,
  lateness: 5_000,
  partitions: 4
})
const totals = topic('totals', { key: text, value: json<{ readonly cents: number }>(), partitions: 4 })

const ticker = source({
  name: 'ticker',
  to: trades,
  *run({ resume }) {
    for (let index = Number(resume ?? 0); index < 1_000; index++)
      yield { key: `symbol-${index % 10}`, value: { cents: index, at: index }, cursor: index + 1 }
  }
})

const addUp = processor({
  name: 'add-up',
  from: trades,
  to: totals,
  state: { total: keyed(number, 0) },
  process({ key, value }, { state, watermark, timeliness }) {
    state.total.set(state.total.get() + value.cents)
    if (Math.max(watermark, timeliness.behind) === undefined) return
    return { key, value: { cents: state.total.get() } }
  }
})

async function totalsOn(broker: BrokerConfig): Promise<{ rows: number; cents: number }> {
  const last = new Map<string, number>()
  let rows = 0
  const collect = sink({
    name: 'collect',
    from: totals,
    write: records => {
      rows += records.length
      for (const { key, value } of records) last.set(key, value.cents)
    }
  })
  await using client = await connect({ brokers: { default: broker } })
  await client.run(pipeline('order-totals', [ticker, addUp, collect]), {
    guarantee: 'exactly-once',
    vitalsInterval: 100
  })
  return { rows, cents: [...last.values()].reduce((sum, cents) => sum + cents, 0) }
}

async function codeOf(attempt: () => Promise<unknown>): Promise<ErrorCode | undefined> {
  try {
    await attempt()
  } catch (error) {
    if (StreamError.is(error)) return error.code
    throw error
  }
  return undefined
}

// Shapes only: what these need is not installed here.
export type AnyKafka = Adapter<Capabilities & { readonly transactions: true }>
export const kafka: BrokerConfig = { adapter: 'kafka', brokers: ['localhost:9092'], clientId: 'user' }
const quotes = topic('quotes', {
  value: avro<{ readonly price: number }>({
    type: 'record',
    name: 'Quote',
    fields: [{ name: 'price', type: 'double' }]
  })
})
export const warehouse: ReturnType<typeof sink> = sink({
  name: 'warehouse',
  from: totals,
  write: sqlite({
    file: 'totals.db',
    table: 'totals',
    key: ['symbol'],
    row: ({ key, value }: RecordOf<typeof totals>) => ({ symbol: key, cents: value.cents })
  })
})

const folder = await mkdtemp(join(tmpdir(), 'tidemark-user-'))
try {
  const report = {
    node: process.version,
    memory: await totalsOn(memory()),
    file: await totalsOn(`file:${join(folder, 'data')}`),
    kafka: await codeOf(() => connect({ brokers: { default: kafka } })),
    avro: await codeOf(async () => quotes.value.bind?.({ topic: 'quotes', part: 'value', registry: memoryRegistry() }))
  }
  console.log(JSON.stringify(report))
} finally {
  await rm(folder, { recursive: true, force: true })
}
