import { modelsOf, type Model } from '../model.ts'
import { horizonless, rules, start, successors, violation } from './world.ts'

const dedupeModel = modelsOf({
  rules,
  start,
  successors,
  violation: (_, world) => violation(world),
  isGoal: ({ sends }, { reader }) => reader.committed.got.length === sends.reduce((sum, count) => sum + count, 0),
  limit: 1_500_000
})

/** What a reader remembers of producers, and what it may forget: processes come and go, and a record may be delivered at any time. */
export const dedupeModels: readonly Model[] = [
  dedupeModel('D0', 'ended producers are forgotten, their time of birth is kept', 'ok'),
  dedupeModel('D1', 'the same where no order is kept, and what is missing is given up', 'ok', {
    ordered: false,
    givesUp: true,
    steps: 3
  }),
  dedupeModel('D2', 'as D0, longer', 'ok', { producers: [0, 3], steps: 6 }, true),
  dedupeModel('D0.a', 'what is not known is new, however old it is', /DUPLICATE/, { refuses: false }),
  dedupeModel('D0.b', 'the time up to which all are forgotten is not part of the commit', /DUPLICATE/, {
    stored: horizonless
  }),
  dedupeModel('D0.c', 'who is silent for long is forgotten, though nobody said that it has ended', /REFUSED/, {
    asksWhoLives: false
  }),
  dedupeModel('D0.d', 'what is remembered is not part of the commit', /DUPLICATE/, { stored: () => undefined }),
  dedupeModel('D1.a', 'what is given up is counted, and still waited for', /COUNTED TWICE/, {
    ordered: false,
    givesUp: true,
    closes: false
  }),
  dedupeModel('D1.b', 'where no order is kept, a hole is passed over at once', /LOST/, {
    ordered: true,
    channel: 'unordered',
    givesUp: false
  })
]
