import { describe, expect, it } from 'vitest'
import { step } from '../../src/exactly-once/protocol.ts'
import { explore, type Explored } from './explore.ts'
import { successors } from './protocol-steps.ts'
import { complete, rules, start, violation, type Rules } from './protocol-world.ts'

function check(changes: Partial<Rules>): Explored {
  const world = { ...rules, ...changes }
  return explore(
    start,
    state => successors(world, state),
    state => violation(world, state),
    state => complete(world, state),
    600_000
  )
}

const numberOnly: Partial<Rules> = { takes: (world, { commit }) => commit === world.rows.length + 1 }

describe('the commit protocol, every interleaving of two workers', () => {
  it.each<[string, Partial<Rules>]>([
    ['an embedded store with a relay', { epochs: 2 }],
    ['an embedded store, more owners', { epochs: 3, tokens: 2, repeats: 0 }],
    ...(process.env['TIDEMARK_DEEP'] ? [['an embedded store, deep', {}] as [string, Partial<Rules>]] : []),
    ['a broker that commits outputs and changelog in one transaction', { store: 'renewed', epochs: 4 }],
    // H3, B1: the number alone fences already, the epoch makes the loser notice early.
    ['a store that compares the commit number only', { ...numberOnly, epochs: 3, tokens: 2, repeats: 0 }],
    ...(process.env['TIDEMARK_DEEP']
      ? [['a store that compares the commit number only, deep', numberOnly] as [string, Partial<Rules>]]
      : [])
  ])(
    '%s: nothing lost, doubled or diverged',
    (_, changes) => {
      const { violation: broken, trace, states, goalReached } = check(changes)
      expect(broken && `${broken}\n${trace.join('\n')}`).toBeUndefined()
      expect(goalReached).toBe(true)
      expect(states).toBeGreaterThan(1_000)
    },
    120_000
  )
})

/** Protocols that look right. Each must be caught: one that passes means that the model is too weak. */
const mutants: [string, RegExp, Partial<Rules>][] = [
  [
    'the new owner stamps the outbox anew',
    /DUPLICATE|LOST|DIVERGED/,
    { restamp: (epoch, sequence) => epoch * 10 + sequence }
  ],
  ['a blind append, the lease is trusted', /DIVERGED|HOLE|DUPLICATE/, { takes: () => true }],
  [
    'after an unclear append the next number, without reading back',
    /DUPLICATE|DIVERGED|HOLE|LOST/,
    {
      step(state, event) {
        if (state.phase === 'committing' && event.type === 'appended' && event.outcome === 'unknown')
          return [{ phase: 'running', epoch: state.epoch, commit: state.commit }, []]
        return step(state, event)
      },
      takes: (world, { epoch, commit }) => epoch === world.epoch && commit >= world.rows.length + 1
    }
  ],
  [
    'an unclear append is taken for a success',
    /DIVERGED/,
    {
      step: (state, event) =>
        state.phase === 'committing' && event.type === 'appended' && event.outcome === 'unknown'
          ? step(state, { type: 'appended', outcome: 'ok' })
          : step(state, event)
    }
  ],
  [
    'fenced, and it goes on all the same',
    /DIVERGED/,
    {
      step: (state, event) =>
        state.phase === 'committing' && event.type === 'appended' && event.outcome === 'fenced'
          ? step(state, { type: 'appended', outcome: 'ok' })
          : step(state, event)
    }
  ],
  [
    'any commit under our number counts as ours, whatever its token',
    /DIVERGED/,
    {
      store: 'renewed',
      epochs: 4,
      step: (state, event) =>
        state.phase === 'reading-back' && event.type === 'read-back' && event.commit === state.commit
          ? step(state, { ...event, token: state.token })
          : step(state, event)
    }
  ],
  [
    'read back as absent is taken for fenced by nobody: the same number with a new token',
    /DIVERGED|DUPLICATE/,
    {
      store: 'kept',
      step(state, event) {
        if (state.phase === 'reading-back' && event.type === 'read-back' && event.commit !== state.commit) {
          const pending = { epoch: event.epoch, commit: event.commit + 1, token: state.token }
          return [{ phase: 'committing', ...pending }, [{ do: 'append', ...pending }]]
        }
        return step(state, event)
      },
      takes: (world, { commit }) => commit === world.rows.length + 1
    }
  ],
  [
    'the head is read before the fence, the append compares epochs only',
    /DIVERGED|DUPLICATE/,
    { headFirst: true, takes: (world, { epoch }) => epoch === world.epoch }
  ],
  ['the input is acknowledged before the commit', /LOST/, { acknowledgeFirst: true }],
  ['outputs are sent before the commit under its number', /DIVERGED|DUPLICATE/, { sendFirst: true }],
  ['the outbox forgets with the commit, not with the relay', /LOST/, { folds: (_, commit) => commit }],
  ['the reader does not drop repeats', /DUPLICATE/, { dedupe: 'none' }]
]

describe('mutants of the protocol are found', () => {
  it.each(mutants)(
    '%s',
    (_, kind, changes) => {
      const { violation: broken, trace } = check(changes)
      expect(broken, 'the mutant passed: the model is too weak').toMatch(kind)
      expect(trace.length).toBeGreaterThan(1)
    },
    20_000
  )
})

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
