import { describe, expect, it } from 'vitest'
import { step } from '../../src/exactly-once/protocol.ts'

describe('the reducer', () => {
  it('refuses what cannot happen', () => {
    expect(() => step({ phase: 'idle' }, { type: 'commit-due', token: 'a' })).toThrow(
      "'commit-due' cannot happen while idle"
    )
    expect(() => step({ phase: 'running', epoch: 1, commit: 0 }, { type: 'appended', outcome: 'ok' })).toThrow(
      'while running'
    )
  })

  it('lets a release win in every phase, and asks the host to drop what is not committed', () => {
    const pending = { epoch: 1, commit: 1, token: 'a' }
    for (const state of [
      { phase: 'acquiring' },
      { phase: 'running', epoch: 1, commit: 0 },
      { phase: 'committing', ...pending },
      { phase: 'reading-back', ...pending }
    ] as const)
      expect(step(state, { type: 'released' })).toEqual([{ phase: 'idle' }, [{ do: 'discard' }]])
    expect(step({ phase: 'idle' }, { type: 'released' })).toEqual([{ phase: 'idle' }, []])
  })
})
