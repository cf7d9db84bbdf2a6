import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { stepLeases, type LeaseEffect, type LeaseState, type LeaseStep } from '../../src/exactly-once/lease-protocol.ts'
import { presence } from '../../src/exactly-once/leases.ts'
import { assertJoins, assertLeaves, settledWorld } from './properties.ts'
import { script } from './script.ts'
import type { Rules, World } from './world.ts'

type Step = typeof stepLeases

/** The protocol without some of its effects. */
const without =
  (dropped: (effect: LeaseEffect, state: LeaseState) => boolean): Step =>
  (state, event) => {
    const [next, effects] = stepLeases(state, event)
    return [next, effects.filter(effect => !dropped(effect, state))]
  }

/** The protocol after something has been done to the state. */
const after =
  (change: (state: LeaseState) => LeaseState): Step =>
  (state, event): LeaseStep => {
    const [next, effects] = stepLeases(state, event)
    return [change(next), effects]
  }

/** Ways to share out leases that look right. Each must be caught: one that passes means that the world is too weak. */
const mutants: [string, RegExp, Partial<Rules>, ((world: World) => void)?][] = [
  ['an owner may take without a condition', /ROBBED|TWO LIVES|still works/, { takes: () => true }],
  ['the epoch is not raised', /DOUBLE OWNER/, { raise: newest => Math.max(1, newest) }],
  ['a commit needs no epoch', /WENT BACK/, { commits: () => true }],
  [
    'an observer that slept believes that all others were silent',
    /ROBBED/,
    {
      step(state, event) {
        if (event.type !== 'looked') return stepLeases(state, event)
        const passed = event.from - (state.lookedAt ?? event.from)
        const seen = [...state.seen].map(([name, known]) => [name, { ...known, still: known.still + passed }] as const)
        return stepLeases({ ...state, seen: new Map(seen) }, event)
      }
    }
  ],
  [
    'nobody is ever gone',
    /NOT SETTLED/,
    {
      step: after(state => ({
        ...state,
        seen: new Map([...state.seen].map(([name, known]) => [name, { ...known, still: 0 }]))
      }))
    }
  ],
  [
    'what a call without an answer has taken is never noticed',
    /NOT SETTLED/,
    { step: without((effect, { me }) => effect.do === 'take' && effect.seen?.owner === me) }
  ],
  [
    'a lost lease is taken again while its first life goes on',
    /TWO LIVES|still works/,
    {
      step: after(state => ({ ...state, leases: new Map([...state.leases].filter(([, phase]) => phase !== 'lost')) }))
    }
  ],
  [
    'each has an order of its own',
    /NOT SETTLED/,
    {
      step: after(state => (/[13579]\//.test(state.me) ? { ...state, units: state.units.toSorted().reverse() } : state))
    }
  ],
  [
    'nobody hears a wish',
    /NOT SETTLED/,
    {
      step: (state, event) =>
        stepLeases(
          state,
          event.type === 'looked' ? { ...event, rows: event.rows.map(row => ({ ...row, wish: undefined })) } : event
        )
    }
  ],
  ['nobody asks', /NOT SETTLED/, { step: without(effect => effect.do === 'ask') }],
  [
    'whoever leaves stays in the table',
    /expected/,
    { step: without((effect, { me }) => effect.do === 'remove' && effect.seen.name === presence(me)) },
    assertLeaves
  ],
  [
    'a newcomer says nothing of itself',
    /expected|NOT SETTLED/,
    { step: without(effect => effect.do === 'take' && effect.name.startsWith('~')) },
    assertJoins
  ]
]

describe('mutants of the lease protocol are found', () => {
  it.each(mutants)(
    '%s',
    (_, kind, changes, property) => {
      const found = fc.check(
        fc.property(script, given => {
          const { world } = settledWorld(given, changes)
          property?.(world)
        }),
        { numRuns: 3_000, seed: 7, endOnFailure: true }
      )
      expect(found.failed, 'the mutant passed: the world is too weak').toBe(true)
      expect(String(found.errorInstance)).toMatch(kind)
    },
    60_000
  )
})
