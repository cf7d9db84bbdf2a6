/**
 * The fault matrix with short faults, exactly once: right answer, back by itself, red exactly while it should be. All backends and
 * both guarantees, with faults of half a minute: `npm run faults -- --backend all`.
 */
import { describe, expect, inject, it } from 'vitest'
import { onStage, runCell, sizes, type Cell } from '../../faults/cell.ts'
import { faults } from '../../faults/faults.ts'

const chosen = inject('backends')
// With a broker of its own: the one that the run shares must not be disturbed.
describe.each(['memory', 'file', 'kafka'].filter(backend => chosen.includes(backend)))('on %s', backend => {
  it('every fault that can be shown is survived', { timeout: 400_000 }, async () => {
    const cells: Cell[] = []
    await onStage(backend, async stage => {
      for (const fault of faults) cells.push(await runCell(stage, backend, fault, 'exactly-once', sizes.small))
    })
    expect(cells.filter(({ result }) => result === 'fail')).toEqual([])
    // What cannot be shown says why.
    for (const { result, why } of cells) expect(result === 'pass' || why !== undefined).toBe(true)
    expect(cells.filter(({ result }) => result === 'pass').length).toBeGreaterThanOrEqual(backend === 'memory' ? 5 : 7)
  })
})
