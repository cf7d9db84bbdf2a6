/**
 * A rolling restart in the size of a test: 3 workers, each restarted once, under load. How long a partition stands still is
 * measured by `npm run chaos -- --rounds 20 --workers 5`; here it is only told.
 */
import { describe, expect, inject, it } from 'vitest'
import { chaos } from '../../chaos/run.ts'

const seed = Number(process.env['TIDEMARK_SEED'] ?? Date.now() % 100_000)
const kafka = inject('kafka')

async function rollOver(backend: string): Promise<void> {
  const report = await chaos({ backend, kills: 0, rounds: 1, workers: 3, seed })
  console.log(report.line)
  expect(report.found).toEqual([])
  expect(report.rolled!.restarts).toBe(3)
  // Every task is there: four stages on four partitions, and two splits.
  expect(report.rolled!.pauses.length).toBe(18)
  expect(report.line).toContain('; 0 workers failed;')
  expect(report.line).toContain(': 0 lost, 0 duplicated, 0 torn')
}

describe('three processes of one pipeline, restarted one after the other', () => {
  it('lose and double nothing on the embedded broker', { timeout: 200_000 }, () => rollOver('file'))

  it.skipIf(kafka.state !== 'running')('lose and double nothing on Kafka', { timeout: 200_000 }, () =>
    rollOver('kafka')
  )
})
