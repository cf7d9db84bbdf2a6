import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { assertJoins, assertLeaves, assertPeace, settledWorld } from './properties.ts'
import { script, type Script } from './script.ts'
import type { World } from './world.ts'

const seed = Number(process.env['TIDEMARK_SEED'] ?? Date.now() % 2 ** 31)
const numRuns = Number(process.env['TIDEMARK_SEEDS'] ?? 2_000)
beforeAll(() => console.log(`leases: seed ${seed}, repeat with TIDEMARK_SEED=${seed}; ${numRuns} runs each`))

const total = { runs: 0, turns: 0, commits: 0, refused: 0, steals: 0, losses: 0, handOvers: 0, rounds: 0 }
afterAll(() => {
  const { runs, turns, commits, refused, steals, losses, handOvers, rounds } = total
  console.log(
    `leases, pure: ${runs} runs, ${turns} turns, ${commits} commits, ${refused} refused, ${steals} steals, ${losses} losses, ${handOvers} hand-overs, settled in at most ${rounds} rounds`
  )
})

function settled(given: Script): World {
  const { world, rounds } = settledWorld(given)
  total.rounds = Math.max(total.rounds, rounds)
  total.runs++
  for (const name of ['turns', 'commits', 'refused', 'steals', 'losses', 'handOvers'] as const)
    total[name] += world.counts[name]
  return world
}

const check = (run: (given: Script) => void, runs: number = numRuns): void =>
  fc.assert(fc.property(script, run), { seed, numRuns: runs })

describe('leases, through lost messages, pauses, clock jumps, joins, leaves and crashes', () => {
  it('have one committer for each epoch, rob nobody who beats, and are even again in bounded time', () => {
    check(given => void settled(given))
    expect(Math.min(total.commits, total.refused, total.steals, total.losses, total.handOvers)).toBeGreaterThan(10)
  }, 120_000)

  it('rest when nothing happens', () => check(given => assertPeace(settled(given)), numRuns / 4), 120_000)

  it(
    'go to the others at once when a member leaves',
    () => check(given => assertLeaves(settled(given)), numRuns / 2),
    120_000
  )

  it(
    'come to a new member, as many as it must have and no more',
    () => check(given => assertJoins(settled(given)), numRuns / 2),
    120_000
  )
})
