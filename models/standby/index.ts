import { modelsOf, type Model } from '../model.ts'
import { rules, start, successors } from './world.ts'

const standbyModel = modelsOf({
  rules,
  start: () => start,
  successors,
  violation: (_, { failure }) => failure,
  isGoal: ({ commits }, world) => world.taken === true && world.commits === commits
})

/** A standby that follows a changelog (`docs/decisions/0014`): is what it hands over always what the log comes to? */
export const standbyModels: readonly Model[] = [
  standbyModel('N0', 'a standby follows a compacted log that may be cut or made anew', 'ok'),
  standbyModel('N1', 'the same, longer', 'ok', { commits: 4 }, true),
  standbyModel('N0.a', 'heads need not follow each other', /DIVERGED/, { links: false }),
  standbyModel('N0.b', 'the last head need not be met again', /DIVERGED/, { meetsLast: false }),
  standbyModel('N0.c', 'the rest is read from behind what was read last', /DIVERGED/, {
    from: 'position',
    meetsLast: false
  }),
  standbyModel('N0.d', 'it may be away for as long as it likes', /DIVERGED/, { absence: 9 }),
  standbyModel('N0.e', 'a first reading goes on after an interruption', /DIVERGED/, { firstReading: 'goes on' }),
  standbyModel('N0.f', 'the half of a commit is kept over an interruption', /DIVERGED/, { halfCommit: 'goes on' }),
  standbyModel('N0.g', 'the rest is read before the fence', /DIVERGED/, { fenceFirst: false })
]
