import { failed, json, keyed, number, pipeline, PoisonError, processor, text, topic, when } from '../../src/index.ts'

// Checked by tsc alone: a line that compiles and should not, or the reverse, fails the type check.

type Same<Left, Right> = (<T>() => T extends Left ? 1 : 2) extends <T>() => T extends Right ? 1 : 2 ? true : false
const is = <_Proof extends true>(): void => {}

const prices = topic('prices', { key: text, value: number })
const trades = topic('trades', { key: text, value: json<{ cents: number }>() })
const signals = topic('signals', { key: text, value: text })
const sums = topic('sums', { key: text, value: number })
const withheld = topic('withheld', { key: text, value: number })

const one = processor({
  name: 'one',
  from: prices,
  to: signals,
  batch: { records: 500, bytes: 1_000_000, wait: '20ms' },
  circuit: { failures: 3 },
  failure: { retries: 3 },
  rateLimit: { records: 1_000, per: '1s' },
  guard: when({ behind: '5s' }, { otherwise: withheld }),
  processBatch: records =>
    records.map(({ key, value, topic: name }) => {
      is<Same<typeof value, number>>()
      is<Same<typeof name, 'prices'>>()
      return { key, value: `${value}` }
    }),
  onWatermark: watermark => ({ key: 'k', value: `${watermark}` }),
  interval: '1m',
  onComplete: ({ start }) => ({ key: String(start), value: 'over' })
})

const all = processor({
  name: 'all',
  from: prices,
  to: signals,
  async processBatch(records, context) {
    return records.map((record, index) => {
      is<Same<ReturnType<typeof context.idempotencyKey>, string>>()
      const { key, value } = record
      if (value < 0) return new PoisonError('below zero')
      if (value > 9) return failed('above nine')
      if (index > 5) return Promise.resolve([{ key, value: `${value}` }])
      context.expire(record)
      return undefined
    })
  }
})

const several = processor({
  name: 'several',
  from: [prices, trades],
  to: [signals, sums],
  processBatch: records =>
    records.map(record =>
      record.topic === 'prices'
        ? { topic: 'sums', key: record.key, value: record.value }
        : [{ topic: 'signals', key: 'k', value: `${record.value.cents}` }]
    )
})
const silent = processor({ name: 'silent', from: prices, processBatch: records => records.map(() => undefined) })
pipeline('batches', [one, all, several, silent])

processor({
  name: 'odd',
  from: prices,
  to: signals,
  // @ts-expect-error: not an array
  processBatch: () => ({ key: 'k', value: 'v' })
})

processor({
  name: 'odd',
  from: prices,
  to: signals,
  // @ts-expect-error: what the topic takes is text
  processBatch: records => records.map(({ key, value }) => ({ key, value }))
})

// @ts-expect-error: no keyed state
processor({
  name: 'odd',
  from: prices,
  to: signals,
  state: { count: keyed(number, 0) },
  processBatch: records => records.map(({ key, value }) => ({ key, value: `${value}` }))
})

// @ts-expect-error: no timers
processor({
  name: 'odd',
  from: prices,
  onTimer: () => undefined,
  processBatch: records => records.map(() => undefined)
})

// @ts-expect-error: both
processor({ name: 'odd', from: prices, process: () => undefined, processBatch: () => [] })

// @ts-expect-error: neither
processor({ name: 'odd', from: prices, to: signals })

// @ts-expect-error: limits of a batch are for a handler of batches
processor({ name: 'odd', from: prices, batch: { records: 5 }, process: () => undefined })
