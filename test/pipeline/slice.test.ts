import { describe, expect, it } from 'vitest'
import { systemEnvironment, type Environment } from '../../src/core/environment.ts'
import { Slice } from '../../src/pipeline/slice.ts'

describe('a slice of the event loop', () => {
  it('is spent after some milliseconds of work, and begins anew when others have had the loop', async () => {
    let now = 0
    const environment: Environment = { ...systemEnvironment, monotonic: () => now }
    const slice = new Slice(environment)
    now = 5.9
    expect(slice.spent).toBe(false)
    now = 6
    expect(slice.spent).toBe(true)
    await slice.yield()
    expect(slice.spent).toBe(false)
  })

  it('is given to one of many in each turn of the loop: what waits for a timer waits for one of them, not for all', async () => {
    const environment: Environment = { ...systemEnvironment }
    let turns = 0
    let over = false
    const count = (): void => {
      turns++
      if (!over) setImmediate(count)
    }
    setImmediate(count)
    const at: number[] = []
    const worker = async (): Promise<void> => {
      const slice = new Slice(environment)
      for (let round = 0; round < 5; round++) {
        await slice.yield()
        at.push(turns)
      }
    }
    await Promise.all(Array.from({ length: 8 }, worker))
    over = true
    expect(at).toHaveLength(40)
    expect(new Set(at).size).toBe(40)
  })
})
