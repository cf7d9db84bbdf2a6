import { VitalsPublisher } from '../../src/pipeline/vitals-publisher.ts'
import { TopicMembership } from '../../src/watermark/membership.ts'
import { PartitionTracker } from '../../src/watermark/partition-tracker.ts'
import { ProducerProgress } from '../../src/watermark/producer-progress.ts'
import type { Plant } from './plant.ts'

/** Changes a method of a class until it is changed back. */
function replace<Class extends object, Name extends keyof Class>(
  prototype: Class,
  name: Name,
  make: (original: Class[Name]) => Class[Name]
): () => void {
  const original = prototype[name]
  prototype[name] = make(original)
  return () => void (prototype[name] = original)
}

export const watermarkPlants: readonly Plant[] = [
  {
    name: 'W1',
    suite: 'watermark',
    what: 'the largest promise seen counts, whatever is missing before it',
    personality: 'queue-unordered',
    patch: () =>
      replace(
        ProducerProgress.prototype,
        'promise',
        () =>
          function (this: ProducerProgress, _: number, watermark: number): boolean {
            if (watermark <= this.watermark) return false
            this.watermark = watermark
            return true
          }
      )
  },
  {
    name: 'W2',
    suite: 'watermark',
    what: 'a producer is not known before its first record',
    personality: 'log-ordered',
    patch: () => {
      const undo = [
        replace(
          TopicMembership.prototype,
          'report',
          original =>
            function (this: TopicMembership, vitals, topic, now): void {
              const output = vitals.outputs.get(topic)
              if (output && output.last.size > 0) original.call(this, vitals, topic, now)
            }
        ),
        replace(PartitionTracker.prototype, 'isStranger', () => () => false)
      ]
      return () => {
        for (const each of undo) each()
      }
    }
  },
  {
    name: 'W3',
    suite: 'watermark',
    what: 'a producer does not wait until its announcement is there',
    personality: 'log-ordered',
    patch: world =>
      replace(
        VitalsPublisher.prototype,
        'announce',
        original =>
          async function (this: VitalsPublisher, reports): Promise<void> {
            world.scheduler.after(3_000, () => void original.call(this, reports).catch(() => {}))
          }
      )
  },
  {
    name: 'W6',
    suite: 'watermark',
    what: 'the least of all producers, without keeping what was reached',
    personality: 'log-ordered',
    patch: () => {
      const unclamped = <Given extends unknown[]>(original: (this: PartitionTracker, ...given: Given) => boolean) =>
        function (this: PartitionTracker, ...given: Given): boolean {
          const reached = this.watermark
          this.watermark = -Infinity
          original.apply(this, given)
          if (this.watermark === -Infinity) this.watermark = reached
          return this.watermark > reached
        }
      const undo = [
        replace(PartitionTracker.prototype, 'learn', unclamped),
        replace(PartitionTracker.prototype, 'processed', unclamped)
      ]
      return () => {
        for (const each of undo) each()
      }
    }
  }
]
