/**
 * `npm start`: runs the pipeline in two worker processes, kills one of them half way, starts it again, and compares the
 * result with a plain recount. `BROKER=kafka://localhost:9092 npm start` runs the same code on Kafka.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'tidemark'
import { flightsPipeline } from './pipeline.ts'
import { Progress } from './progress.ts'
import { readOptions, type Options, type Settings } from './settings.ts'
import { verify, worstWeeks } from './verify.ts'
import { Workers } from './workers.ts'

const patience = 120_000

const options = readOptions()
const interrupt = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => interrupt.abort(new Error(`stopped by ${signal}`)))
try {
  for (let run = 0; run < options.runs; run++) {
    const ok = await runOnce({ ...options, seed: options.seed + run })
    if (!ok) process.exitCode = 1
  }
} catch (error) {
  say((error as Error).message)
  process.exitCode = interrupt.signal.aborted ? 130 : 1
}

/** A run of its own, in a folder that goes away with it. On a server its topics stay, with the run in their names. */
async function runOnce(options: Options): Promise<boolean> {
  const { limit, rate, seed } = options
  const started = performance.now()
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-flights-'))
  const settings: Settings = {
    run: `${seed}-${Date.now().toString(36)}`,
    broker: process.env['BROKER'] ?? `file:${join(folder, 'log')}`,
    folder,
    database: join(folder, 'flights.db'),
    limit,
    rate
  }
  try {
    await runWorkers(settings, options)
    const { ok, line, differences } = verify(settings.database, limit)
    printWorst(settings.database)
    for (const text of [line, ...differences]) console.log(text)
    say(`${((performance.now() - started) / 1000).toFixed(1)} s on ${settings.broker.replace(/:.*/s, '')}`)
    return ok
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Two workers, to their end: with a line of progress, and with the end of one of them on the way. */
async function runWorkers(settings: Settings, options: Options): Promise<void> {
  await using client = await connect({ brokers: { default: settings.broker } })
  const progress = new Progress(client, flightsPipeline(settings))
  await progress.open()
  const workers = new Workers(2, settings)
  const line = setInterval(() => say(progress.line(settings.limit), true), process.stderr.isTTY ? 200 : 2_000)
  const over = new AbortController()
  const signal = AbortSignal.any([over.signal, interrupt.signal])
  try {
    const killing = options.kill ? killOne(workers, progress, options, signal) : undefined
    const tooLong = sleep(patience, undefined, { signal }).then(() => {
      throw new Error(`the workers have not ended within ${patience / 1000} s`)
    })
    await Promise.race([Promise.all([killing, workers.ended]), tooLong])
  } catch (error) {
    throw interrupt.signal.aborted ? interrupt.signal.reason : error
  } finally {
    over.abort()
    clearInterval(line)
    await workers.stop()
    await progress.close()
    say(progress.line(settings.limit))
  }
}

/** From a third to two thirds of the way, one worker or the other: both follow from the seed. */
async function killOne(workers: Workers, progress: Progress, options: Options, signal: AbortSignal): Promise<void> {
  const { limit, seed } = options
  const moment = Math.round(limit * (1 / 3 + random(seed) / 3))
  while (progress.processed('count-hours') < moment) await sleep(20, undefined, { signal })
  const [killed, restarted] = await workers.killAndRestart(seed % 2)
  say(`killed worker ${killed} after ${moment} flights (--seed ${seed}), started ${restarted}`)
}

function printWorst(database: string): void {
  console.log('week of     airport  flights  mean delay')
  for (const { week, airport, departures, meanDelay } of worstWeeks(database, 10)) {
    const day = new Date(week).toISOString().slice(0, 10)
    console.log(
      `${day}  ${airport.padEnd(7)} ${String(departures).padStart(8)} ${meanDelay.toFixed(1).padStart(7)} min`
    )
  }
}

/** To the person at the screen; results go to standard output. */
function say(text: string, again: boolean = false): void {
  if (!process.stderr.isTTY) console.error(text)
  else process.stderr.write(`\r\x1b[2K${text}${again ? '' : '\n'}`)
}

/** From 0 to 1, the same for the same seed. */
function random(seed: number): number {
  let mixed = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32
}
