import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { Problem } from './oracle/problems.ts'
import type { Timely } from './shop/observations.ts'

/** What a thread runs: some seeds of a suite on a personality, or one planted bug until it is found, or a sweep. */
export type Job =
  | { readonly kind: 'seeds'; readonly suite: string; readonly personality: string; readonly seeds: readonly number[] }
  | { readonly kind: 'plant'; readonly plant: string; readonly seeds: readonly number[] }
  | {
      readonly kind: 'sweep'
      readonly personality: string
      readonly seed: number
      readonly part: number
      readonly parts: number
    }

export interface Failure {
  readonly seed: number
  readonly problems: readonly Problem[]
  /** Of a sweep: where it died. */
  readonly at?: string
}

export interface Outcome {
  readonly job: Job
  readonly runs: number
  readonly events: number
  /** Virtual ms. */
  readonly time: number
  /** What the handlers of all runs were told. */
  readonly timely: Timely
  readonly failures: readonly Failure[]
}

/** Runs jobs on as many threads as there are processors, or as told; gives the outcomes in the order of the jobs. */
export async function runJobs(
  jobs: readonly Job[],
  threads: number | undefined,
  done: (outcome: Outcome) => void
): Promise<void> {
  const outcomes: (Outcome | undefined)[] = []
  let taken = 0
  let told = 0
  const next = (): Order | undefined => {
    const number = taken++
    const job = jobs[number]
    return job && { job, done: outcome => tell(number, outcome) }
  }
  const tell = (number: number, outcome: Outcome): void => {
    outcomes[number] = outcome
    for (let ready; (ready = outcomes[told]); told++) {
      outcomes[told] = undefined
      done(ready)
    }
  }
  const count = Math.min(threads ?? availableParallelism(), jobs.length)
  await Promise.all(Array.from({ length: count }, () => oneThread(next)))
}

interface Order {
  readonly job: Job
  done(outcome: Outcome): void
}

/** Most of what a run makes is soon garbage: a larger nursery copies less of it. */
const nursery = 64

function oneThread(next: () => Order | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('thread.ts', import.meta.url), {
      resourceLimits: { maxYoungGenerationSizeMb: nursery }
    })
    let order: Order | undefined
    const begin = (): void => {
      order = next()
      if (order) worker.postMessage(order.job)
      else void worker.terminate().then(() => resolve())
    }
    worker.on('message', (outcome: Outcome) => {
      order!.done(outcome)
      begin()
    })
    worker.on('error', reject)
    begin()
  })
}
