import {
  aggregate,
  hopping,
  intervalJoin,
  json,
  keyed,
  number,
  optional,
  session,
  tableJoin,
  text,
  topic,
  tumbling,
  type Early,
  type Windowing
} from '../../src/index.ts'

// Checked by tsc alone: a line that compiles and should not, or the reverse, fails the type check.

type Same<Left, Right> = (<T>() => T extends Left ? 1 : 2) extends <T>() => T extends Right ? 1 : 2 ? true : false
const is = <_Proof extends true>(): void => {}

interface Flight {
  readonly delay: number
}
interface Hour {
  readonly airport: string
  readonly hour: number
  readonly delay: number
}
interface Trip {
  readonly miles: number
}

const flights = topic('flights', { key: text, value: json<Flight>() })
const trips = topic('trips', { key: text, value: json<Trip>() })
const hourly = topic('hourly', { key: text, value: json<Hour>() })
const numbers = topic('numbers', { key: text, value: number })
const late = topic('late', { key: text, value: json<Flight>() })
const unkeyed = topic('unkeyed', { value: json<Flight>() })
const numbered = topic('numbered', { key: number, value: json<Flight>() })

const counting = { name: 'counting', from: flights, to: numbers, accumulator: number, init: () => 0 } as const

// ---- aggregate ----

aggregate({
  name: 'count-hours',
  from: flights,
  to: hourly,
  window: tumbling(100),
  accumulator: json<{ delay: number; flights: number }>(),
  init: () => ({ delay: 0, flights: 0 }),
  add(sum, record) {
    is<Same<typeof sum, { delay: number; flights: number }>>()
    is<Same<typeof record.value, Flight>>()
    is<Same<typeof record.topic, 'flights'>>()
    return { delay: sum.delay + record.value.delay, flights: sum.flights + 1 }
  },
  result({ key, value, window, timing, replaces }) {
    is<Same<typeof key, string>>()
    is<Same<typeof value, { delay: number; flights: number }>>()
    is<Same<typeof timing, 'early' | 'on-time' | 'late'>>()
    void replaces
    return { key, value: { airport: key, hour: window.start, delay: value.delay } }
  },
  late
})

// Several inputs are told apart, several outputs named.
aggregate({
  name: 'both',
  from: [flights, trips],
  to: [numbers, hourly],
  window: hopping(100, { every: 10, offset: 5 }),
  accumulator: number,
  init: () => 0,
  add: (sum, record) => sum + (record.topic === 'flights' ? record.value.delay : record.value.miles),
  result: ({ key, value }) => [
    { topic: 'numbers', key, value },
    { topic: 'hourly', key, value: { airport: key, hour: 0, delay: value } }
  ]
})
void [counting, intervalJoin, keyed, optional, session, tableJoin, late, unkeyed, numbered]
export type { Early, Windowing }
