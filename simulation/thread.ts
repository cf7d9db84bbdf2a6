import { parentPort } from 'node:worker_threads'
import type { Failure, Job, Outcome } from './batch.ts'
import { personalities } from './personalities/index.ts'
import { plants } from './planted/index.ts'
import { addTimely, noTimely } from './shop/observations.ts'
import { simulate, type SimulationOptions } from './simulate.ts'
import { suites } from './suites.ts'
import { sweep } from './sweep.ts'

async function runSeeds(
  job: Job,
  seeds: readonly number[],
  make: (seed: number) => SimulationOptions,
  first: boolean
): Promise<Outcome> {
  const failures: Failure[] = []
  let runs = 0
  let events = 0
  let time = 0
  let timely = noTimely
  for (const seed of seeds) {
    const simulated = await simulate(make(seed))
    runs++
    events += simulated.events
    time += simulated.time
    timely = addTimely(timely, simulated.timely)
    if (simulated.problems.length === 0) continue
    failures.push({ seed, problems: simulated.problems.slice(0, 3) })
    if (first) break
  }
  return { job, runs, events, time, timely, failures }
}

/** Also used where there are no threads. */
export async function runJob(job: Job): Promise<Outcome> {
  if (job.kind === 'seeds') {
    const suite = suites[job.suite]!
    return runSeeds(job, job.seeds, seed => ({ seed, suite, personality: personalities[job.personality]!() }), false)
  }
  if (job.kind === 'plant') {
    const plant = plants.find(({ name }) => name === job.plant)!
    const suite = suites[plant.suite ?? 'exactly-once']!
    return runSeeds(
      job,
      job.seeds,
      seed => ({ seed, suite, personality: personalities[plant.personality]!(), plant }),
      true
    )
  }
  const { runs, events, time, failures } = await sweep(job.personality, job.seed, job.part, job.parts)
  return {
    job,
    runs,
    events,
    time,
    timely: noTimely,
    failures: failures.map(({ crash, call, problems }) => ({
      seed: job.seed,
      at: `${crash.when} call ${crash.call} (${call})`,
      problems: problems.slice(0, 3)
    }))
  }
}

parentPort?.on('message', (job: Job) => void runJob(job).then(outcome => parentPort!.postMessage(outcome)))
