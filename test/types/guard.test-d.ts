import { json, number, pipeline, processor, sink, text, topic, when } from '../../src/index.ts'

// Checked by tsc alone: a line that compiles and should not, or the reverse, fails the type check.

const prices = topic('prices', { key: text, value: number })
const trades = topic('trades', { key: text, value: json<{ cents: number }>() })
const signals = topic('signals', { key: text, value: text })
const withheld = topic('withheld', { key: text, value: number })
const numbered = topic('numbered', { key: number, value: number })

const decide = processor({
  name: 'decide',
  from: prices,
  to: signals,
  guard: when({ behind: '5s', failureRate: 0.01, troubles: ['silent', 'skewed'] }, { otherwise: withheld }),
  process: ({ key, value }) => ({ key, value: value > 5 ? 'buy' : 'sell' }),
  interval: '1m',
  onComplete: ({ start }, { timeliness }) => ({ key: String(start), value: `${timeliness.behind}` })
})
const load = sink({ name: 'load', from: prices, guard: when({ behind: 5_000 }), write: () => {} })
pipeline('deciding', [decide, load])

// @ts-expect-error: a unit that is none
when({ behind: '5 parsecs' })

// @ts-expect-error: a limit that is none
when({ latency: 5 })

// @ts-expect-error: a cause that is none
when({ troubles: ['lazy'] })

processor({
  name: 'odd',
  from: trades,
  to: signals,
  // @ts-expect-error: the side output takes the records as they are, and these are not numbers
  guard: when({}, { otherwise: withheld }),
  process: () => undefined
})

// @ts-expect-error: nor are its keys texts
sink({ name: 'odd', from: prices, guard: when({}, { otherwise: numbered }), write: () => {} })

processor({
  name: 'odd',
  from: prices,
  to: signals,
  interval: 5,
  process: () => undefined,
  // @ts-expect-error: what is complete is told with entries of the output
  onComplete: () => ({ key: 'k', value: 5 })
})
