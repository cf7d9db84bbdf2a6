import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'

/** What the processes of one run have in common; the parent hands it to its workers as JSON. */
export interface Settings {
  /** Part of every name, so that the example can be run again on the same broker. */
  readonly run: string
  readonly broker: string
  /** Folder of this run: the log of a `file:` broker, commits, the result. */
  readonly folder: string
  /** The SQLite file with the result. */
  readonly database: string
  /** How many flights are replayed. */
  readonly limit: number
  /** Flights per second. */
  readonly rate: number
}

/** The command line: `npm start -- --limit 2000 --runs 3`. */
export interface Options {
  readonly limit: number
  readonly rate: number
  readonly runs: number
  readonly kill: boolean
  /** Decides who is killed, and when. */
  readonly seed: number
}

const usage = `npm start [-- --limit N] [--rate FLIGHTS_PER_SECOND] [--runs N] [--no-kill] [--seed N]
BROKER=kafka://localhost:9092 npm start`

export function readOptions(): Options {
  try {
    const { values } = parseArgs({
      allowNegative: true,
      options: {
        limit: { type: 'string', default: '20000' },
        rate: { type: 'string' },
        runs: { type: 'string', default: '1' },
        kill: { type: 'boolean', default: true },
        seed: { type: 'string', default: String(randomInt(1_000_000)) }
      }
    })
    const { kill, ...numbers } = values
    const limit = whole('limit', numbers.limit)
    return {
      kill,
      limit,
      // So that there is time to watch it, and to kill a worker: eight seconds.
      rate: whole('rate', numbers.rate ?? String(Math.ceil(limit / 8))),
      runs: whole('runs', numbers.runs),
      seed: whole('seed', numbers.seed, 0)
    }
  } catch (error) {
    console.error(`${(error as Error).message}\n${usage}`)
    process.exit(2)
  }
}

function whole(name: string, value: string, least: number = 1): number {
  const number = Number(value)
  if (Number.isSafeInteger(number) && number >= least) return number
  throw new Error(`--${name} must be a whole number from ${least}, got '${value}'`)
}
