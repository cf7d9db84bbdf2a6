/**
 * Which airports had the worst weeks? 20,000 flights are replayed in the order in which their departure became known, so
 * their scheduled times are out of order by as much as their delays. Departures are counted per airport and hour, the
 * hours of a week are ranked, and every result is loaded into a table, each exactly once.
 *
 *     replay -> flights -> count-hours -> hourly -> rank-weeks -> worst
 *                               |            |                      |
 *                             late        load-hours           load-worst
 *                               |
 *                           load-late
 */
import { setTimeout } from 'node:timers/promises'
import { json, keyed, pipeline, processor, sink, source, text, topic, type Pipeline } from 'tidemark'
import { sqlite } from 'tidemark/sqlite'
import { readFlights, type Flight } from './data.ts'
import type { Settings } from './settings.ts'

const HOUR = 3_600_000
const WEEK = 7 * 24 * HOUR

/** Departures of an airport in one hour. Times are milliseconds since the epoch, delays are minutes. */
export interface Hour {
  readonly airport: string
  readonly hour: number
  readonly departures: number
  readonly delay: number
}

/** One of the three airports with the largest mean delay of a week. */
export interface Worst {
  readonly week: number
  readonly place: number
  readonly airport: string
  readonly departures: number
  readonly meanDelay: number
}

type Tally = Pick<Hour, 'departures' | 'delay'>

/** What the pipeline of one run consists of; nothing happens before `client.run`. */
export function flightsPipeline({ run, database, limit, rate }: Settings): Pipeline {
  const flights = topic(`flights-${run}`, {
    key: text,
    value: json<Flight>(),
    partitions: 4,
    eventTime: flight => flight.scheduled,
    // Who leaves later than this behind the newest known schedule is late: counted, not added.
    lateness: 2 * HOUR
  })
  const hourly = topic(`hourly-${run}`, { key: text, value: json<Hour>(), partitions: 4 })
  const late = topic(`late-${run}`, { key: text, value: json<Flight>(), partitions: 4 })
  const worst = topic(`worst-${run}`, { key: text, value: json<Worst>(), partitions: 4 })

  const replay = source({
    name: 'replay',
    to: flights,
    async *run({ resume }) {
      const known = (await readFlights(limit)).sort((left, right) => knownAt(left) - knownAt(right))
      for (let next = Number(resume ?? 0); next < known.length; next += 50) {
        yield known.slice(next, next + 50).map((flight, index) => ({
          key: flight.origin,
          value: flight,
          cursor: next + index + 1
        }))
        await setTimeout(50_000 / rate)
      }
    }
  })

  const countHours = processor({
    name: 'count-hours',
    from: flights,
    to: [hourly, late],
    state: { open: keyed(json<Record<number, Tally>>(), {}) },
    process({ key, value, eventTime, ...record }, { state, timers }) {
      if (record.late) return { topic: late.name, key, value }
      const hour = eventTime - (eventTime % HOUR)
      const open = state.open.get()
      state.open.set({ ...open, [hour]: add(open[hour], { departures: 1, delay: value.delay }) })
      timers.at(hour + HOUR)
      return undefined
    },
    // The watermark has passed the end of the hour: no flight of it is missing, but those that are late.
    onTimer({ key, time }, { state }) {
      const hour = time - HOUR
      const { [hour]: tally, ...open } = state.open.get()
      state.open.set(open)
      return { topic: hourly.name, key: String(weekOf(hour)), value: { airport: key, hour, ...tally! } }
    }
  })

  const rankWeeks = processor({
    name: 'rank-weeks',
    from: hourly,
    to: worst,
    state: { airports: keyed(json<Record<string, Tally>>(), {}) },
    process({ key, value }, { state, timers }) {
      const airports = state.airports.get()
      state.airports.set({ ...airports, [value.airport]: add(airports[value.airport], value) })
      // An hour is reported at its end, and the last one of a week ends with it: the week is complete a moment later.
      timers.at(Number(key) + WEEK + 1)
    },
    onTimer({ key }, { state }) {
      const ranked = Object.entries(state.airports.get())
        .filter(([, { departures }]) => departures >= 20)
        .map(([airport, { departures, delay }]) => ({ airport, departures, meanDelay: delay / departures }))
        .sort((left, right) => right.meanDelay - left.meanDelay || (left.airport < right.airport ? -1 : 1))
      state.airports.delete()
      return ranked
        .slice(0, 3)
        .map((airport, index) => ({ key, value: { week: Number(key), place: index + 1, ...airport } }))
    }
  })

  // Rows and the position behind them are one transaction. No primary keys: a record that came twice would be two rows.
  const load = (table: string, columns: string): ReturnType<typeof sqlite> =>
    sqlite({ file: database, table, create: `CREATE TABLE ${table} (${columns})` })

  return pipeline(`flights-${run}`, [
    replay,
    countHours,
    rankWeeks,
    sink({ name: 'load-hours', from: hourly, write: load('hours', 'airport, hour, departures, delay') }),
    sink({ name: 'load-late', from: late, write: load('late', 'scheduled, delay, distance, origin, destination') }),
    sink({ name: 'load-worst', from: worst, write: load('worst', 'week, place, airport, departures, meanDelay') })
  ])
}

/** A delay is known when the flight has left. */
function knownAt({ scheduled, delay }: Flight): number {
  return scheduled + delay * 60_000
}

function add(left: Tally | undefined, right: Tally): Tally {
  return { departures: (left?.departures ?? 0) + right.departures, delay: (left?.delay ?? 0) + right.delay }
}

/** Weeks begin on Monday; the epoch was a Thursday. */
function weekOf(time: number): number {
  const monday = 4 * 24 * HOUR
  return time - ((time - monday) % WEEK)
}
