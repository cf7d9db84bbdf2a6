import {
  connect,
  json,
  keyed,
  number,
  pipeline,
  processor,
  shadow,
  shadowTopic,
  text,
  topic,
  type Pipeline
} from 'tidemark'

interface Sale {
  readonly cents: number
  readonly cancelled?: boolean
}

const sales = topic('sales', { key: text, value: json<Sale>(), partitions: 2 })
const totals = topic('totals', { key: text, value: number, partitions: 2 })

let handled = 0
const shop = (worth: (sale: Sale) => number): Pipeline =>
  pipeline('shop', [
    processor({
      name: 'add-up',
      from: sales,
      to: totals,
      state: { total: keyed(number, 0) },
      process({ key, value }, { state }) {
        handled++
        state.total.set(state.total.get() + worth(value))
        return { key, value: state.total.get() }
      }
    })
  ])

const oldVersion = shop(({ cents }) => cents)
const newVersion = shop(({ cents, cancelled }) => (cancelled ? 0 : cents))

await using client = await connect({ brokers: { default: process.env['BROKER'] ?? 'memory:' } })

/** Runs a pipeline until it has handled so many more records. */
async function work(app: Pipeline, records: number): Promise<void> {
  const stop = new AbortController()
  const running = client.run(app, { signal: stop.signal })
  for (const until = handled + records; handled < until;) await new Promise(resolve => setTimeout(resolve, 20))
  stop.abort()
  await running
}

await client.admin.ensure(sales)
const producer = await client.producer(sales)
for (const [key, cents, cancelled] of [
  ['Ada', 100],
  ['Bob', 250],
  ['Ada', 40, true],
  ['Bob', 50],
  ['Ada', 60]
] as const)
  await producer.send({ key, value: { cents, ...(cancelled && { cancelled }) } })
await work(oldVersion, 5)

// The new version beside the old one, from the beginning, on topics of its own.
const trial = shadow(newVersion, { suffix: 'v2' })
await client.admin.replay(trial, { from: 'earliest', state: 'reset' })
await work(trial, 5)
const found = await client.admin.compare(totals, shadowTopic(totals, 'v2'), {
  onDifference: ({ kind, key, left, right }) => console.log(kind, key, left?.value, right?.value)
})
console.log(`${found.same} the same, ${found.different} different`)

// As wanted: the pipeline is read again from its beginning by the new version.
await client.admin.replay(newVersion, { from: 'earliest', state: 'reset' })
await work(newVersion, 5)
const last = new Map<string, number>()
const stop = new AbortController()
let read = 0
for await (const { key, value } of client.consumer(totals, { group: 'print', signal: stop.signal })) {
  last.set(key, value)
  if (++read === 10) stop.abort()
}
console.log(
  [...last]
    .sort()
    .map(([key, value]) => `${key} ${value}`)
    .join(', ')
)
