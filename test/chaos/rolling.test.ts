/** A rolling restart in the size of a test: 3 workers, each restarted once, under load. `npm run chaos -- --rounds 20 --workers 5` is the long one. */
import { describe, expect, inject, it } from 'vitest'
import { chaos } from '../../chaos/run.ts'

const seed = Number(process.env['TIDEMARK_SEED'] ?? Date.now() % 100_000)
const kafka = inject('kafka')

/** Runs of which one must be as smooth as that: beside other tests the start of a process may take the others longer than a hand-over. */
const attempts = 3

/** @param longestPause without a graceful end it is more, ms */
async function rolledOver(backend: string, longestPause: number): Promise<void> {
  let pause = Infinity
  for (let attempt = 0; attempt < attempts && pause > longestPause; attempt++) {
    const report = await chaos({ backend, kills: 0, rounds: 1, workers: 3, seed: seed + attempt })
    console.log(report.line)
    // In each of them.
    expect(report.found).toEqual([])
    expect(report.rolled!.restarts).toBe(3)
    // Every task is there: four stages on four partitions, and two splits.
    expect(report.rolled!.pauses.length).toBe(18)
    expect(report.line).toContain('; 0 workers failed;')
    expect(report.line).toContain(': 0 lost, 0 duplicated, 0 torn')
    pause = report.rolled!.pauses[0]!.milliseconds
  }
  expect(pause).toBeLessThanOrEqual(longestPause)
}

describe('three processes of one pipeline, restarted one after the other', () => {
  it(
    'lose and double nothing on the embedded broker, and no partition stands still for 2 s',
    {
      timeout: 400_000
    },
    () => rolledOver('file', 2_000)
  )

  // The server is one more process beside them. A worker that does not leave its group costs the others the session of 10 s.
  it.skipIf(kafka.state !== 'running')(
    'lose and double nothing on Kafka, and nobody waits for a session to end',
    { timeout: 600_000 },
    () => rolledOver('kafka', 8_000)
  )
})
