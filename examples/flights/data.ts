import { readFile } from 'node:fs/promises'

/** A flight within the United States, early in 2001. */
export interface Flight {
  /** Departure by schedule, ms since the epoch. The file has no time zones: all are taken as UTC. */
  readonly scheduled: number
  /** Minutes that it left late; below 0 when it left early. */
  readonly delay: number
  readonly distance: number
  readonly origin: string
  readonly destination: string
}

/** In the order of the schedule. */
export async function readFlights(limit: number): Promise<Flight[]> {
  const file = new URL('../../node_modules/vega-datasets/data/flights-20k.json', import.meta.url)
  const rows = JSON.parse(await readFile(file, 'utf8')) as (Omit<Flight, 'scheduled'> & { date: string })[]
  return rows.slice(0, limit).map(({ date, ...flight }) => ({
    scheduled: Date.parse(`${date.replaceAll('/', '-').replace(' ', 'T')}Z`),
    ...flight
  }))
}
