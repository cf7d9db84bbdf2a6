/** `npm run memory` in the size of a test: one burst, on a broker that is no part of the process. Linux only. */
import { describe, expect, inject, it } from 'vitest'
import { held } from '../../faults/memory.ts'

const chosen = inject('backends')

describe.skipIf(process.platform !== 'linux')(
  'a process held to 256 MiB, with a source at ten times the speed of its sink',
  () => {
    it.each(['file', 'kafka'].filter(backend => chosen.includes(backend)))(
      'loses nothing on %s, and stays below',
      { timeout: 300_000 },
      async backend => {
        const result = await held({ backend, duration: 10_000 })
        console.log(result.line)
        expect(result.problems).toEqual([])
        expect(result.emitted).toBeGreaterThan(0)
        // A burst is faster than the sink.
        expect(result.sunk).toBeLessThan(result.burst / 4)
      }
    )
  }
)
