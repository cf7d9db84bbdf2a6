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

async function results(chosen: typeof cases): Promise<(string | undefined)[]> {
  const found = await runConformance(memoryHarness(), { cases: chosen })
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
  for (const result of await results(cases)) expect(result).toMatch(/a producer stands still at \d+, and \d+ was told/)
})

test('who does not listen any more to a producer that was away is not back in time', { timeout: 120_000 }, async () => {
  const away = new Set<string>()
  patched(
    TopicMembership.prototype,
    'report',
    original =>
      function (this: TopicMembership, vitals, topic, now) {
        const known = this.members.get(vitals.producer)
        if (known && !vitals.durable && now - known.heardAt > 1_000) away.add(vitals.producer)
        if (!away.has(vitals.producer)) original.call(this, vitals, topic, now)
      }
  )
  patched(
    PartitionTracker.prototype,
    'processed',
    original =>
      function (this: PartitionTracker, stamp) {
        return original.call(this, away.has(stamp.producer) ? { ...stamp, watermark: undefined } : stamp)
      }
  )
  expect((await results(cases.slice(0, 1))).join()).toMatch(/waited in vain/)
})
