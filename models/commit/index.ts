import { step } from '../../src/exactly-once/protocol.ts'
import { modelsOf, type Model } from '../model.ts'
import { successors } from './steps.ts'
import { complete, rules, start, violation, type Rules } from './world.ts'

const commitModel = modelsOf({ rules, start: () => start, successors, violation, isGoal: complete })

/** A step of the reducer that is done in another way where `wrong` says so. */
const stepping =
  (wrong: (...given: Parameters<typeof step>) => ReturnType<typeof step> | undefined): typeof step =>
  (state, event) =>
    wrong(state, event) ?? step(state, event)

const numberOnly: Rules['takes'] = (world, { commit }) => commit === world.rows.length + 1

/** The commit of one task: two workers, a store, a network that delays, loses and hides answers; the production reducer. */
export const commitModels: readonly Model[] = [
  commitModel('C0', 'an embedded store with a relay', 'ok', { epochs: 2 }),
  commitModel('C1', 'an embedded store, more owners', 'ok', { epochs: 3, tokens: 2, repeats: 0 }),
  commitModel('C2', 'a broker that commits outputs and changelog in one transaction', 'ok', {
    store: 'renewed',
    epochs: 4
  }),
  // H3, B1: the number alone fences already, the epoch makes the loser notice early.
  commitModel('C3', 'a store that compares the commit number only', 'ok', {
    takes: numberOnly,
    epochs: 3,
    tokens: 2,
    repeats: 0
  }),
  commitModel('C4', 'an embedded store, more owners and more attempts', 'ok', {}, true),
  commitModel('C5', 'the commit number only, more owners and more attempts', 'ok', { takes: numberOnly }, true),
  commitModel('C0.a', 'the new owner stamps the outbox anew', /DUPLICATE|LOST|DIVERGED/, {
    restamp: (epoch, sequence) => epoch * 10 + sequence
  }),
  commitModel('C0.b', 'a blind append, the lease is trusted', /DIVERGED|HOLE|DUPLICATE/, { takes: () => true }),
  commitModel('C0.c', 'after an unclear append the next number, without reading back', /DUPLICATE|DIVERGED|HOLE|LOST/, {
    step: stepping((state, event) =>
      state.phase === 'committing' && event.type === 'appended' && event.outcome === 'unknown'
        ? [{ phase: 'running', epoch: state.epoch, commit: state.commit }, []]
        : undefined
    ),
    takes: (world, { epoch, commit }) => epoch === world.epoch && commit >= world.rows.length + 1
  }),
  commitModel('C0.d', 'an unclear append is taken for a success', /DIVERGED/, {
    step: stepping((state, event) =>
      state.phase === 'committing' && event.type === 'appended' && event.outcome === 'unknown'
        ? step(state, { type: 'appended', outcome: 'ok' })
        : undefined
    )
  }),
  commitModel('C0.e', 'fenced, and it goes on all the same', /DIVERGED/, {
    step: stepping((state, event) =>
      state.phase === 'committing' && event.type === 'appended' && event.outcome === 'fenced'
        ? step(state, { type: 'appended', outcome: 'ok' })
        : undefined
    )
  }),
  commitModel('C2.f', 'any commit under our number counts as ours, whatever its token', /DIVERGED/, {
    store: 'renewed',
    epochs: 4,
    step: stepping((state, event) =>
      state.phase === 'reading-back' && event.type === 'read-back' && event.commit === state.commit
        ? step(state, { ...event, token: state.token })
        : undefined
    )
  }),
  commitModel('C0.g', "read back as somebody else's: the same record under the next number", /DIVERGED|DUPLICATE/, {
    step: stepping((state, event) => {
      if (state.phase !== 'reading-back' || event.type !== 'read-back' || event.commit === state.commit)
        return undefined
      const pending = { epoch: event.epoch, commit: event.commit + 1, token: state.token }
      return [{ phase: 'committing', ...pending }, [{ do: 'append', ...pending }]]
    }),
    takes: (world, { commit }) => commit === world.rows.length + 1
  }),
  commitModel('C0.h', 'the head is read before the fence, the append compares epochs only', /DIVERGED|DUPLICATE/, {
    headFirst: true,
    takes: (world, { epoch }) => epoch === world.epoch
  }),
  commitModel('C0.i', 'the input is acknowledged before the commit', /LOST/, { acknowledgeFirst: true }),
  commitModel('C0.j', 'outputs are sent before the commit under its number', /DIVERGED|DUPLICATE/, { sendFirst: true }),
  commitModel('C0.k', 'the outbox forgets with the commit, not with the relay', /LOST/, {
    folds: (_, commit) => commit
  }),
  commitModel('C0.l', 'the reader does not drop repeats', /DUPLICATE/, { dedupe: 'none' })
]
