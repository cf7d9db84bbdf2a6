import { expect, test } from 'vitest'
import { fuzz } from '../../scripts/fuzz/run.ts'

// A small size of `npm run fuzz`.
test('spoiled payloads are decoded or refused with a cause, at once, and nothing is left of them', async () => {
  const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31)
  const { crashes, decoded, parked, slowest, slowestPayload, growth } = await fuzz(30_000, seed)
  expect(crashes, `seed ${seed}`).toEqual([])
  expect(slowest, `seed ${seed}: ${slowestPayload}`).toBeLessThan(50)
  expect(growth, `seed ${seed}`).toBeLessThan(8 * 2 ** 20)
  // Both happen, or it tests nothing.
  expect(decoded).toBeGreaterThan(1_000)
  expect(parked['bad-record']).toBeGreaterThan(1_000)
  expect(parked['bad-schema']).toBeGreaterThan(100)
}, 120_000)
