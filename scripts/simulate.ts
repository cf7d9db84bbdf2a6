/**
 * `npm run simulate [-- --seeds N] [--suite exactly-once|watermark] [--personality NAME] [--seed S]`: the whole pipeline on
 * simulated brokers, in virtual time, under seeded faults; an independent oracle counts every run again. Default: 25 seeds of
 * each suite on each personality. A failing seed is printed with the command that replays it; `--seed` runs one and tells its
 * story when it fails, with no more faults than it takes.
 *
 * Of the suite `watermark` the closing lines say how many records the handlers were given, how many of them were told late because
 * their producers had broken a promise, and how many falsely.
 *
 * `--sweep`: a small run, once for each of its calls, with a machine that dies there. `--planted` (or `--plant NAME`): seeded
 * bugs, each of which must be found within `--seeds` (default 1,000). `--from S`: the first seed. `--threads N`.
 *
 * Exit code 1 when a run has failed, or when a planted bug was not found. See docs/testing.md.
 */
import { runJobs, type Job, type Outcome } from '../simulation/batch.ts'
import { personalities } from '../simulation/personalities/index.ts'
import { plants } from '../simulation/planted/index.ts'
import { addTimely, noTimely, type Timely } from '../simulation/shop/observations.ts'
import { shrink } from '../simulation/shrink.ts'
import { suites } from '../simulation/suites.ts'
import { optionsOf } from './options.ts'

const values = optionsOf(import.meta.url, {
  seeds: { type: 'string' },
  seed: { type: 'string' },
  from: { type: 'string', default: '1' },
  suite: { type: 'string' },
  personality: { type: 'string' },
  sweep: { type: 'boolean', default: false },
  plant: { type: 'string' },
  planted: { type: 'boolean', default: false },
  threads: { type: 'string' }
})

/** Seeds that a thread takes at a time. */
const handful = 25

function chosen<Value>(what: string, name: string | undefined, known: Readonly<Record<string, Value>>): string[] {
  if (name === undefined) return Object.keys(known)
  if (Object.hasOwn(known, name)) return [name]
  throw new Error(`no ${what} '${name}'; known are ${Object.keys(known).join(', ')}`)
}

function whole(name: string, text: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw new Error(`--${name} must be a whole number, not '${text}'`)
}

const chosenSuites = chosen('suite', values.suite, suites)
const chosenPersonalities = chosen('personality', values.personality, personalities)
const threads = values.threads === undefined ? undefined : whole('threads', values.threads)
const started = performance.now()
let failed = false

if (values.planted || values.plant !== undefined) await findPlanted()
else if (values.sweep) await sweepAll()
else if (values.seed !== undefined) await tellOne(whole('seed', values.seed))
else await runSeeds()
process.exitCode = failed ? 1 : 0

function seedsFrom(count: number): number[] {
  const first = whole('from', values.from)
  return Array.from({ length: count }, (_, index) => first + index)
}

async function runSeeds(): Promise<void> {
  const seeds = seedsFrom(whole('seeds', values.seeds ?? '25'))
  const jobs: Job[] = []
  for (const suite of chosenSuites)
    for (const personality of chosenPersonalities)
      for (let at = 0; at < seeds.length; at += handful)
        jobs.push({ kind: 'seeds', suite, personality, seeds: seeds.slice(at, at + handful) })
  const sums = new Map<string, Sum>()
  await runJobs(jobs, threads, outcome => {
    const { job } = outcome
    if (job.kind !== 'seeds') return
    const name = `${job.suite} on ${job.personality}`
    sums.set(name, plus(sums.get(name), outcome))
    printFailures(outcome, seed => `--suite ${job.suite} --personality ${job.personality} --seed ${seed}`)
  })
  for (const [name, { runs, events, time, failures, timely }] of sums) {
    const late = `${timely.records} records, ${timely.late} late by their producers, ${timely.falseLate} falsely`
    console.log(
      `${failures === 0 ? 'ok  ' : 'FAIL'} ${name.padEnd(32)} ${runs} runs, ${failures} failed, ${late}, ${events} events, ${hours(time)} virtual hours`
    )
  }
  close([...sums.values()])
}

async function sweepAll(): Promise<void> {
  const seed = whole('from', values.from)
  const parts = 16
  const jobs = chosenPersonalities.flatMap(personality =>
    Array.from({ length: parts }, (_, part): Job => ({ kind: 'sweep', personality, seed, part, parts }))
  )
  const sums = new Map<string, Sum>()
  await runJobs(jobs, threads, outcome => {
    const { job } = outcome
    if (job.kind !== 'sweep') return
    sums.set(job.personality, plus(sums.get(job.personality), outcome))
    printFailures(outcome, () => `--sweep --personality ${job.personality} --from ${seed}`)
  })
  for (const [name, { runs, failures }] of sums)
    console.log(`${failures === 0 ? 'ok  ' : 'FAIL'} sweep of ${name.padEnd(16)} ${runs} crashes, ${failures} failed`)
  close([...sums.values()])
}

async function findPlanted(): Promise<void> {
  const most = whole('seeds', values.seeds ?? '1000')
  const wanted = plants.filter(
    ({ name, suite = 'exactly-once' }) =>
      (values.plant === undefined || name === values.plant) && chosenSuites.includes(suite)
  )
  if (wanted.length === 0)
    throw new Error(
      `no plant '${values.plant}' in ${chosenSuites.join(', ')}; known are ${plants.map(({ name }) => name).join(', ')}`
    )
  const jobs = wanted.map(({ name }): Job => ({ kind: 'plant', plant: name, seeds: seedsFrom(most) }))
  let survivors = 0
  await runJobs(jobs, threads, ({ job, runs, failures }) => {
    if (job.kind !== 'plant') return
    const { what, personality } = plants.find(({ name }) => name === job.plant)!
    const [found] = failures
    if (!found) survivors++
    const verdict = found ? `found by seed ${found.seed}: ${found.problems[0]!.kind}` : `SURVIVED ${runs} seeds`
    console.log(`${found ? 'ok  ' : 'FAIL'} ${job.plant.padEnd(10)} ${verdict.padEnd(42)} ${what} (${personality})`)
  })
  failed ||= survivors > 0
  console.log(`${wanted.length} planted bugs, ${survivors} not found, ${seconds()} s`)
}

async function tellOne(seed: number): Promise<void> {
  for (const suite of chosenSuites)
    for (const personality of chosenPersonalities) {
      const { simulated, without } = await shrink(() => ({
        seed,
        suite: suites[suite]!,
        personality: personalities[personality]!()
      }))
      const { problems, faults, story, events, time } = simulated
      if (problems.length === 0) {
        console.log(
          `ok   ${suite} on ${personality}, seed ${seed}: ${faults.length} faults, ${events} events, ${time.toFixed(0)} virtual ms`
        )
        continue
      }
      failed = true
      console.log(story.join('\n'))
      console.log(
        `FAIL ${suite} on ${personality}, seed ${seed}; it takes ${faults.length - without.size} of ${faults.length} faults`
      )
      for (const { kind, detail } of problems) console.log(`     ${kind}: ${detail}`)
    }
}

function printFailures({ failures }: Outcome, replay: (seed: number) => string): void {
  for (const { seed, problems, at } of failures) {
    console.log(`FAIL npm run simulate -- ${replay(seed)}${at === undefined ? '' : `, a machine dies ${at}`}`)
    for (const { kind, detail } of problems) console.log(`     ${kind}: ${detail}`)
  }
}

interface Sum {
  readonly runs: number
  readonly events: number
  readonly time: number
  readonly failures: number
  readonly timely: Timely
}

function plus(sum: Sum | undefined, { runs, events, time, failures, timely }: Outcome): Sum {
  return {
    runs: (sum?.runs ?? 0) + runs,
    events: (sum?.events ?? 0) + events,
    time: (sum?.time ?? 0) + time,
    failures: (sum?.failures ?? 0) + failures.length,
    timely: addTimely(sum?.timely ?? noTimely, timely)
  }
}

function close(sums: readonly Sum[]): void {
  const total = (name: 'runs' | 'events' | 'time' | 'failures'): number => sums.reduce((all, sum) => all + sum[name], 0)
  failed ||= total('failures') > 0
  console.log(
    `${total('runs')} runs, ${total('failures')} failed, ${total('events')} events, ${hours(total('time'))} virtual hours in ${seconds()} s`
  )
}

function hours(milliseconds: number): string {
  return (milliseconds / 3_600_000).toFixed(1)
}

function seconds(): string {
  return ((performance.now() - started) / 1_000).toFixed(0)
}
