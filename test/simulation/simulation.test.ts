/**
 * The whole pipeline on simulated brokers, in virtual time, under seeded faults: a small run of what `npm run simulate` does
 * at any size. A failure names the command that replays it. `TIDEMARK_SEEDS=1000` runs more, `TIDEMARK_SEED_FROM=77` others.
 */
import { expect, it } from 'vitest'
import { runJobs, type Job, type Outcome } from '../../simulation/batch.ts'
import { personalities } from '../../simulation/personalities/index.ts'
import { plants } from '../../simulation/planted/index.ts'
import { suites } from '../../simulation/suites.ts'

const count = Number(process.env['TIDEMARK_SEEDS'] ?? 8)
const from = Number(process.env['TIDEMARK_SEED_FROM'] ?? 1)
const seeds = (most: number): number[] => Array.from({ length: most }, (_, index) => from + index)
const limit = 120_000 + count * 10_000

async function outcomes(jobs: readonly Job[]): Promise<Outcome[]> {
  const found: Outcome[] = []
  await runJobs(jobs, undefined, outcome => void found.push(outcome))
  return found
}

it.each(Object.keys(suites))(
  'nothing is lost, doubled, torn or told wrong: %s, from seed ' + from,
  async suite => {
    const jobs = Object.keys(personalities).map((personality): Job => ({
      kind: 'seeds',
      suite,
      personality,
      seeds: seeds(count)
    }))
    const failures = (await outcomes(jobs)).flatMap(({ job, failures: failed }) =>
      failed.map(
        ({ seed, problems }) =>
          `npm run simulate -- --suite ${suite} --personality ${'personality' in job && job.personality} --seed ${seed}: ${problems[0]?.kind}`
      )
    )
    expect(failures).toEqual([])
  },
  limit
)

it(
  'each planted bug is found',
  async () => {
    const jobs = plants.map(({ name }): Job => ({ kind: 'plant', plant: name, seeds: seeds(200) }))
    const survivors = (await outcomes(jobs)).filter(({ failures }) => failures.length === 0)
    expect(survivors.map(({ job }) => 'plant' in job && job.plant)).toEqual([])
  },
  limit
)

it('the outcomes come in the order of the jobs, whichever thread is done first', async () => {
  const jobOf = (first: number, many: number): Job => ({
    kind: 'seeds',
    suite: 'exactly-once',
    personality: 'log-ordered',
    seeds: Array.from({ length: many }, (_, index) => first + index)
  })
  const jobs = [jobOf(1, 6), jobOf(7, 1), jobOf(8, 1)]
  const found: Outcome[] = []
  await runJobs(jobs, 2, outcome => void found.push(outcome))
  expect(found.map(({ job }) => job)).toEqual(jobs)
}, 60_000)
