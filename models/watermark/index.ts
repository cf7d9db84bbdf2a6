import { fromSnapshot, ProducerProgress } from '../../src/watermark/producer-progress.ts'
import { explore, type Explored } from '../explore.ts'
import type { Model } from '../model.ts'
import { successors } from './steps.ts'
import { rules, start, type Rules } from './world.ts'

function watermarkModel(
  name: string,
  what: string,
  expected: Model['expected'],
  changes: Partial<Rules>,
  around: (run: () => Explored) => Explored = run => run()
): Model {
  const all = { ...rules, ...changes }
  const most = Math.min(...all.script.map(records => records.at(-1)![1]))
  return {
    name,
    what,
    expected,
    explore: () =>
      around(() =>
        explore({
          start: start(all),
          successors: world => successors(all, world),
          violation: world => world.failure,
          isGoal: world => fromSnapshot(world.tracker.watermark) >= most,
          limit: 600_000
        })
      )
  }
}

/** The largest promise seen counts, whatever is missing before it. */
function naively(run: () => Explored): Explored {
  const { promise } = ProducerProgress.prototype
  ProducerProgress.prototype.promise = function (_, watermark) {
    if (watermark <= this.watermark) return false
    this.watermark = watermark
    return true
  }
  try {
    return run()
  } finally {
    ProducerProgress.prototype.promise = promise
  }
}

/** Claims go beyond the event time of the record before them. */
const claims: Rules['script'] = [
  [
    [5, 0],
    [6, 8]
  ],
  [[9, 9]]
]

const brief: Rules['script'] = [
  [
    [5, 0],
    [9, 6]
  ],
  [[7, 7]]
]

export const watermarkModels: readonly Model[] = [
  watermarkModel('W0', 'promises count when all before them is processed; all producers announced', 'ok', {}),
  watermarkModel('W0.c', 'the same, with a reader that commits and crashes', 'ok', { crashes: true }),
  watermarkModel('W0.v', 'the same, with reports in the vitals', 'ok', { reports: 'sent', script: claims }),
  watermarkModel('W1', 'the largest promise seen counts', /LATE/, {}, naively),
  watermarkModel('W2', 'a producer that nobody knows before its first record', /LATE/, {
    announced: [true, false],
    announces: false
  }),
  watermarkModel('W3', 'a producer that joins later, and does not wait', /LATE/, { announced: [true, false] }),
  watermarkModel('W4', 'who joins later waits until it is known, and is not before the watermark of then', 'ok', {
    announced: [true, false],
    floor: true
  }),
  watermarkModel('W5', 'a report counts one record too early', /LATE/, {
    reports: 'sent',
    script: claims,
    offByOne: true
  }),
  watermarkModel('W6', 'the least of all, without keeping what was reached', /NON-MONOTONE/, {
    announced: [true, false],
    floor: true,
    clamp: false
  }),
  watermarkModel('W7', 'reports tell what is sent; a reader gives up after a silence', 'ok', {
    script: brief,
    reports: 'sent',
    waives: true
  }),
  watermarkModel('W7.a', 'reports tell what is not sent yet; a reader gives up after a silence', /LATE/, {
    script: brief,
    reports: 'made',
    waives: true
  }),
  watermarkModel('W8', 'a subscription that broke asks again before any watermark rises', 'ok', {
    announced: [true, false],
    floor: true,
    breaks: 'careful'
  }),
  watermarkModel('W8.a', 'a subscription that broke goes on as if nothing was missed', /LATE/, {
    announced: [true, false],
    floor: true,
    breaks: 'careless'
  })
]
