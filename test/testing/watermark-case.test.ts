/** The conformance case of watermarks finds a runtime that believes too early; a broken driver is not what it is about. */
import { expect, onTestFinished, test } from 'vitest'
import { conformanceCases, runConformance } from '../../src/testing/conformance/index.ts'
import { TopicMembership } from '../../src/watermark/membership.ts'
import { PartitionTracker } from '../../src/watermark/partition-tracker.ts'
import { memoryHarness } from './harnesses.ts'

const cases = conformanceCases.filter(({ name }) => name.startsWith('a producer stands still'))

function patched<Class extends object, Name extends keyof Class>(
  prototype: Class,
  name: Name,
  make: (original: Class[Name]) => Class[Name]
): void {
  const original = prototype[name]
  prototype[name] = make(original)
  onTestFinished(() => void (prototype[name] = original))
}

async function results(): Promise<(string | undefined)[]> {
  const harness = memoryHarness()
  const found = await runConformance(harness, { cases })
  return found.map(({ status, reason }) => (status === 'fail' ? reason : status))
}

test('who takes silence for an end is ahead of the truth', { timeout: 60_000 }, async () => {
  // The readers' timer decides after a second that a producer is idle (FLIP-471).
  patched(
    TopicMembership.prototype,
    'liftSilent',
    original =>
      function (this: TopicMembership, before) {
        return original.call(this, before + 29_000)
      }
  )
  for (const result of await results()) expect(result).toMatch(/a producer stands still at \d+, and \d+ was told/)
})

test('who hears of watermarks too seldom is not back in time', { timeout: 120_000 }, async () => {
  // Stamps tell nothing, and of the reports one in forty is read.
  patched(
    PartitionTracker.prototype,
    'processed',
    original =>
      function (this: PartitionTracker, stamp) {
        return original.call(this, { ...stamp, watermark: undefined })
      }
  )
  patched(
    PartitionTracker.prototype,
    'learn',
    original =>
      function (this: PartitionTracker, membership) {
        return membership.version % 40 === 0 && original.call(this, membership)
      }
  )
  for (const result of await results()) expect(result).toMatch(/waited in vain|the watermark was back after \d+ ms/)
})
