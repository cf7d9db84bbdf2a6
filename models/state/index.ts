import { modelsOf, type Model } from '../model.ts'
import { successors } from './steps.ts'
import { lasting, rules, start, violation } from './world.ts'

const stateModel = modelsOf({
  rules,
  start: () => start,
  successors,
  violation,
  isGoal: ({ inputs }, world) => world.next === inputs.length
})

const lives = { lives: true, inputs: lasting }

/** State larger than memory (`docs/decisions/0010`): is what a handler sees that of the last commit of its own chain, and its own writes? */
export const stateModels: readonly Model[] = [
  stateModel('S0', 'cells in memory, fetched under an epoch, let go after commits', 'ok', { epochs: 2 }),
  stateModel('S1', 'the same of a state that fits into memory at first', 'ok', { epochs: 2, small: false }),
  stateModel('S2', 'the same of values with a lifetime', 'ok', { ...lives, epochs: 2 }),
  stateModel('S3', 'cells in memory, more owners', 'ok', {}, true),
  stateModel('S4', 'values with a lifetime, more owners', 'ok', lives, true),
  stateModel('S0.a', 'what is fetched is not bound to an epoch', /STALE|LOST/, { bound: false }),
  stateModel('S0.b', 'what was asked for in a former life is used in the next', /STALE|LOST/, { late: 'used' }),
  stateModel('S0.c', 'a fetch that is refused counts as no row', /STALE|LOST/, { refused: 'absent' }),
  stateModel('S0.d', 'handlers and fetches go on while a fetch is under way', /STALE|LOST/, { waits: false }),
  stateModel('S0.e', 'what is not committed is let go', /STALE|LOST/, { letsGo: 'anything' }),
  stateModel('S0.f', "'no row' is remembered beside the cells", /STALE|LOST/, { absent: 'list' }),
  stateModel('S0.g', 'a new life keeps the memory of the one before', /STALE|LOST/, { newLife: 'kept' }),
  stateModel('S0.h', 'pages are cut off, and memory counts as complete', /STALE|LOST/, { cutShort: 'forgotten' }),
  stateModel('S0.i', 'the rows are read before the fence', /STALE|LOST/, { fence: 'after the rows' }),
  stateModel('S0.k', 'what is sent counts as clean, and a commit that was lost is made anew', /LOST/, {
    clean: 'sent'
  }),
  stateModel('S0.l', 'what was fetched for a batch is not looked at again after letting go', /UNFETCHED/, {
    fetches: 'once'
  }),
  stateModel('S2.m', 'a sweep by a clock that is ahead of the watermark', /STALE|LOST/, { ...lives, sweeps: 'clock' }),
  stateModel('S2.n', 'a late record is judged by its own time', /STALE|LOST/, { ...lives, judges: 'record' })
]
