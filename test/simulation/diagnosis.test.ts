/** A small run of `npm run diagnose`, one fault of each kind (cut off from all, and from the input): a failure names the command that replays it. */
import { expect, it } from 'vitest'
import { describeFault } from '../../simulation/diagnosis/fault.ts'
import { runTrial } from '../../simulation/diagnosis/trial.ts'

it.each([6, 7, 8, 9, 10, 11, 15])(
  'the culprit is named right, and nobody else: seed %i',
  { timeout: 60_000 },
  async seed => {
    const trial = await runTrial(seed)
    const replay = `npm run diagnose -- --faults 1 --seed ${seed}: ${trial.stage} is ${describeFault(trial.fault)}`
    expect(trial.outside, replay).toMatchObject({ after: expect.any(Number), accused: [] })
    if (trial.inside) expect(trial.inside, replay).toMatchObject({ after: expect.any(Number), accused: [] })
    expect(trial.ok, replay).toBe(true)
  }
)
