/** `npm run chaos` in the size of a test: 5 kills, each with another fault beside it. */
import { describe, expect, inject, it } from 'vitest'
import { chaos } from '../../chaos/run.ts'

const seed = Number(process.env['TIDEMARK_SEED'] ?? Date.now() % 100_000)
const backends = inject('backends')
const kafka = inject('kafka')

async function survived(backend: string, store?: string): Promise<void> {
  const report = await chaos({ backend, store, kills: 5, seed })
  console.log(report.line)
  expect(report.found).toEqual([])
  expect(report.tally['kills']).toBe(5)
  expect(report.line).toContain(': 0 lost, 0 duplicated, 0 torn')
}

describe('three processes of one pipeline, killed and disturbed', () => {
  it('lose, double and tear nothing on the embedded broker', () => survived('file'), 300_000)

  it.skipIf(!backends.includes('postgres'))(
    'lose, double and tear nothing on the embedded broker with commits in PostgreSQL, which is killed too',
    () => survived('file', 'postgres'),
    300_000
  )

  it.skipIf(kafka.state !== 'running')('lose, double and tear nothing on Kafka', () => survived('kafka'), 300_000)
})
