/**
 * Windows and joins, over a morning in a shop: what each customer has spent by the hour, with corrections for what came late;
 * the visits of each customer; and the page that each purchase came from.
 */
import {
  aggregate,
  connect,
  intervalJoin,
  json,
  number,
  pipeline,
  session,
  sink,
  source,
  text,
  topic,
  tumbling
} from 'tidemark'
import { purchases as bought, views as seen } from './morning.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

const keyed = { key: text, partitions: 1, lateness: 5 * MINUTE }
const views = topic('views', { ...keyed, value: text })
const purchases = topic('purchases', { ...keyed, value: number })
const late = topic('purchases.late', { ...keyed, value: number })
const lines = topic('lines', { ...keyed, value: json<string>() })

/** Cents per customer and hour. One more purchase within 90 minutes of the end of the hour gives a corrected result. */
const spent = aggregate({
  name: 'spent',
  from: purchases,
  to: lines,
  window: tumbling(HOUR),
  accumulator: number,
  init: () => 0,
  add: (sum, { value }) => sum + value,
  result: ({ key, value, window, timing }) => ({
    key,
    value: `${key} spent ${value} from ${clock(window.start)}, ${timing}`
  }),
  allowedLateness: 90 * MINUTE,
  late
})

/** A visit ends when a customer has looked at nothing for half an hour. */
const visits = aggregate({
  name: 'visits',
  from: views,
  to: lines,
  window: session(30 * MINUTE),
  accumulator: number,
  init: () => 0,
  add: pages => pages + 1,
  merge: (earlier, later) => earlier + later,
  result: ({ key, value, window: { start, end } }) => ({
    key,
    value: `${key} saw ${value} pages from ${clock(start)} to ${clock(end - 30 * MINUTE)}`
  })
})

/** A purchase came from each page that was seen in the ten minutes before it, if there is one. */
const reasons = intervalJoin({
  name: 'reasons',
  left: purchases,
  right: views,
  to: lines,
  before: 0,
  after: 10 * MINUTE,
  type: 'left',
  allowedLateness: 4 * HOUR,
  join: ({ key, value, eventTime }, view) => ({
    key,
    value: `${key} spent ${value} at ${clock(eventTime)} after ${view?.value ?? 'nothing'}`
  })
})

const print = sink({
  name: 'print',
  from: [lines, late],
  write: records => {
    for (const { topic, key, value, eventTime } of records)
      console.log(topic === 'lines' ? value : `${key} spent ${value} at ${clock(eventTime)}, too late for a result`)
  }
})

const shop = pipeline('shop', [
  source({ name: 'seen', to: views, run: () => seen }),
  source({ name: 'bought', to: purchases, run: () => bought }),
  ...[spent, visits, reasons, print]
])
await using client = await connect({ brokers: { default: process.env['BROKER'] ?? 'memory:' } })
await client.run(shop)

function clock(time: number): string {
  return new Date(time).toISOString().slice(11, 16)
}
