import { describe, expect, it } from 'vitest'
import { noHeaders, type RawRecord } from '../../src/core/record.ts'
import { RetryQueue } from '../../src/pipeline/retry-queue.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'

const minutes = 60_000
const noon = Date.UTC(2026, 0, 1, 12)
const raw: RawRecord = {
  position: '1',
  key: Buffer.from('k'),
  value: Buffer.from('v'),
  headers: noHeaders,
  stamp: undefined,
  timestamp: noon
}

/** A record is put aside, until a time of the clock of its queue. */
function putAside(queue: RetryQueue, dueAt: number): void {
  const origin = { topic: 'words', lane: 'kk', raw, hold: 0, reached: 0, before: undefined }
  queue.add({ ...origin, attempts: 1, since: noon, dueAt })
}

/** What another worker takes over of a record that waits for `wait` ms more, its clock being `ahead` ms of ours. */
function takenOver(wait: number, ahead: number): number {
  const ours = new SimulatedEnvironment({ now: noon })
  const theirs = new SimulatedEnvironment({ now: noon + ahead })
  const queue = new RetryQueue(ours)
  putAside(queue, ours.monotonic() + wait)
  const next = new RetryQueue(theirs)
  expect([...next.taking(queue.changes())]).toEqual([])
  return next.nextAt() - theirs.monotonic()
}

describe('a record that waits for another attempt, at its next owner', () => {
  it.each([
    ['the same clock', 0, 500],
    ['a clock that is five minutes behind', -5 * minutes, 500],
    ['a clock that is an hour behind', -60 * minutes, 500],
    ['a clock that is ahead', 5 * minutes, 0]
  ])('is tried no later than it would have been: %s', (_, ahead, wait) => {
    expect(takenOver(500, ahead)).toBe(wait)
  })

  it('is tried at once when it was due, whatever the clock says', () => {
    expect(takenOver(0, -5 * minutes)).toBe(0)
  })

  it('is read as an older release has written it', () => {
    const environment = new SimulatedEnvironment({ now: noon })
    const queue = new RetryQueue(environment)
    putAside(queue, 500)
    const rows = queue.changes().map(row => {
      const { left: _, ...stored } = JSON.parse(Buffer.from(row.value!).toString('utf8'))
      return { ...row, value: Buffer.from(JSON.stringify(stored)) }
    })
    const next = new RetryQueue(environment)
    expect([...next.taking(rows)]).toEqual([])
    expect(next.nextAt()).toBe(500)
  })
})
