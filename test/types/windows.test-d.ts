import {
  aggregate,
  hopping,
  intervalJoin,
  json,
  number,
  optional,
  session,
  tableJoin,
  text,
  topic,
  tumbling
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
// ---- wrong windows do not compile ----

const counting = { name: 'counting', from: flights, to: numbers, accumulator: number, init: () => 0 } as const
const result = ({ key, value }: { key: string; value: number }): { key: string; value: number } => ({ key, value })
const add = (sum: number): number => sum + 1

aggregate({ ...counting, window: session(5), add, result, merge: (earlier, later) => earlier + later })
// @ts-expect-error sessions need merge
aggregate({ ...counting, window: session(5), add, result })
// @ts-expect-error windows that do not move are never merged
aggregate({ ...counting, window: tumbling(5), add, result, merge: (earlier, later) => earlier + later })
// @ts-expect-error the accumulator is a number
aggregate({ ...counting, window: tumbling(5), result, add: (sum: number) => `${sum}` })
// @ts-expect-error the first accumulator is a number, too
aggregate({ ...counting, window: tumbling(5), result, add, init: () => 'none' })
// @ts-expect-error a result is an entry of the topic
aggregate({ ...counting, window: tumbling(5), add, result: ({ key }) => ({ key, value: 'five' }) })
// @ts-expect-error results are made at once
aggregate({ ...counting, window: tumbling(5), add, result: async ({ key, value }) => ({ key, value }) })
// @ts-expect-error the records are flights
aggregate({ ...counting, window: tumbling(5), result, add: (sum, { value }) => sum + value.miles })
// @ts-expect-error windows are per key: a topic may not have records without one
aggregate({ ...counting, from: unkeyed, window: tumbling(5), add, result: () => undefined })
// @ts-expect-error late records are flights, not trips
aggregate({ ...counting, window: tumbling(5), add, result, late: trips })
// @ts-expect-error early by time or by count
aggregate({ ...counting, window: tumbling(5), add, result, early: { every: 1, count: 1 } })
// @ts-expect-error there is no such option
aggregate({ ...counting, window: tumbling(5), add, result, grace: 5 })
// @ts-expect-error a hopping window says how far apart windows are
hopping(5)
aggregate({ ...counting, window: tumbling(5), add, result, early: { every: 1 }, late, allowedLateness: 5 })

// ---- interval joins ----

intervalJoin({
  name: 'both-ways',
  left: flights,
  right: trips,
  to: numbers,
  before: 5,
  after: 5,
  join(left, right) {
    is<Same<typeof left.value, Flight>>()
    is<Same<typeof right.value, Trip>>()
    return { key: left.key, value: right.eventTime - left.eventTime }
  },
  late: { left: late }
})
intervalJoin({
  ...{ name: 'outer', left: flights, right: trips, to: numbers, before: 5, after: 5 },
  type: 'left',
  join: ({ key }, right) => ({ key, value: right === undefined ? 0 : right.value.miles })
})
const joining = { name: 'joining', left: flights, right: trips, to: numbers, before: 5, after: 5 } as const
// @ts-expect-error with type 'left' there may be no partner
intervalJoin({ ...joining, type: 'left', join: ({ key }, right) => ({ key, value: right.value.miles }) })
// @ts-expect-error keys are text on one side and numbers on the other
intervalJoin({ ...joining, right: numbered, join: () => undefined })
// @ts-expect-error a join is per key
intervalJoin({ ...joining, left: unkeyed, join: () => undefined })
// @ts-expect-error the right side is late with trips
intervalJoin({ ...joining, join: () => undefined, late: { right: late } })
// @ts-expect-error a result is an entry of the topic
intervalJoin({ ...joining, join: left => ({ key: left.key, value: left.value }) })
// @ts-expect-error there is no such type
intervalJoin({ ...joining, type: 'outer', join: () => undefined })

// ---- table joins ----

const names = topic('names', { key: text, value: optional(text) })
tableJoin({
  name: 'naming',
  from: flights,
  table: names,
  to: numbers,
  join(flight, row) {
    is<Same<typeof flight.topic, 'flights'>>()
    is<Same<typeof row.value, string>>() // tombstones take rows out
    return { key: flight.key, value: row.value.length }
  }
})
const naming = { name: 'naming', from: flights, table: names, to: numbers } as const
// @ts-expect-error with type 'left' there may be no row
tableJoin({ ...naming, type: 'left', join: ({ key }, row) => ({ key, value: row.value.length }) })
// @ts-expect-error keys are text on one side and numbers on the other
tableJoin({ ...naming, table: numbered, join: () => undefined })
