/**
 * The same answer by other means: one loop over the whole file, no windows, no state, no broker. It shares with the
 * pipeline only the rule of what late is.
 */
import { readFileSync } from 'node:fs'

/** Table -> its rows as text, `column column …`. */
export type Tables = Readonly<Record<'hours' | 'late' | 'worst', readonly string[]>>

interface Row {
  readonly date: string
  readonly delay: number
  readonly distance: number
  readonly origin: string
  readonly destination: string
}

export function recount(limit: number): Tables {
  const path = `${import.meta.dirname}/../../node_modules/vega-datasets/data/flights-20k.json`
  const rows = (JSON.parse(readFileSync(path, 'utf8')) as Row[]).slice(0, limit)
  const departures = rows.map(row => {
    const [year, month, day, hour, minute] = row.date.split(/\D/).map(Number) as [
      number,
      number,
      number,
      number,
      number
    ]
    const hourStart = Date.UTC(year, month - 1, day, hour)
    // Days since Monday, by the calendar.
    const sinceMonday = (new Date(hourStart).getUTCDay() + 6) % 7
    const week = Date.UTC(year, month - 1, day - sinceMonday)
    const scheduled = Date.UTC(year, month - 1, day, hour, minute)
    return { ...row, week, hourStart, scheduled, known: Date.UTC(year, month - 1, day, hour, minute + row.delay) }
  })

  const late: string[] = []
  const hours = new Map<string, [count: number, minutes: number]>()
  const weeks = new Map<string, [count: number, minutes: number]>()
  const count = (into: typeof hours, name: string, delay: number): void => {
    const [flights, minutes] = into.get(name) ?? [0, 0]
    into.set(name, [flights + 1, minutes + delay])
  }
  let newest = -Infinity
  for (const flight of departures.sort((left, right) => left.known - right.known)) {
    const { scheduled, delay, distance, origin, destination } = flight
    // Late: more than two hours of schedule behind the newest schedule known before it.
    if (scheduled < newest - 2 * 60 * 60 * 1000) late.push([scheduled, delay, distance, origin, destination].join(' '))
    else {
      count(hours, `${origin} ${flight.hourStart}`, delay)
      count(weeks, `${flight.week} ${origin}`, delay)
    }
    newest = Math.max(newest, scheduled)
  }

  const worst: string[] = []
  for (const week of new Set(departures.map(flight => flight.week))) {
    const airports = [...weeks].filter(([name, [flights]]) => name.startsWith(`${week} `) && flights >= 20)
    const ranked = airports.map(([name, [flights, minutes]]) => ({ name, flights, mean: minutes / flights }))
    ranked.sort((left, right) => right.mean - left.mean || (left.name < right.name ? -1 : 1))
    for (const [index, { name, flights, mean }] of ranked.slice(0, 3).entries())
      worst.push([week, index + 1, name.split(' ')[1], flights, mean].join(' '))
  }
  return { hours: [...hours].map(([name, tally]) => [name, ...tally].join(' ')), late, worst }
}
