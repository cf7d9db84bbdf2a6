import { describe, expect, it } from 'vitest'
import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import { StreamError } from '../../src/core/errors.ts'
import { VitalsPublisher } from '../../src/pipeline/vitals-publisher.ts'
import { ensureTopic, VitalsView } from '../../src/pipeline/index.ts'
import type { AnyAdapter } from '../../src/spec/index.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'
import { noCounts, vitalsTopic } from '../../src/watermark/index.ts'
import { Random } from '../../simulation/core/random.ts'
import { Story } from '../../simulation/core/story.ts'
import { queueUnordered } from '../../simulation/personalities/queue.ts'

const environment = new SimulatedEnvironment()
const broker = new MemoryBroker()
const kind = queueUnordered()

/** A queue whose subscriptions can be broken: the receive under way rejects, and what comes until the next one is not kept. */
function queue(client: string): { adapter: AnyAdapter; break(): void } {
  const inner = memory({ broker, client })
  void inner.open(environment)
  const parts = {
    broker,
    environment,
    random: new Random(1),
    story: new Story(() => 0, false),
    client,
    isHealed: () => true
  }
  const adapter = kind.adapter(inner, parts)
  let breakNow: () => void = () => {}
  return {
    break: () => breakNow(),
    adapter: {
      ...adapter,
      partitionReader: async options => {
        const reader = await adapter.partitionReader!(options)
        const broken = Promise.withResolvers<never>()
        broken.promise.catch(() => {})
        breakNow = () => {
          void reader.close()
          broken.reject(new StreamError('connection', 'the stream broke', { retryable: true }))
        }
        return { ...reader, receive: given => Promise.race([reader.receive(given), broken.promise]) }
      }
    }
  }
}

const announcement = (task: string): Parameters<VitalsPublisher['announce']>[0][number] => ({
  producer: task.padEnd(16, '.').slice(0, 16),
  task,
  durable: true,
  state: 'joining',
  watermark: -Infinity,
  outputs: new Map([['totals', { watermark: -Infinity, last: new Map() }]]),
  counts: noCounts,
  commit: 0
})

describe('the vitals of a queue, after its subscription was lost', () => {
  it('nobody is complete until the others have told what was missed, our own announcements included', async () => {
    const here = queue('here')
    const there = queue('there')
    await ensureTopic(here.adapter, environment, { topic: vitalsTopic, partitions: 1 })
    const ours = new VitalsPublisher(here.adapter, environment, 1_000)
    const theirs = new VitalsPublisher(there.adapter, environment, 1_000)
    const view = new VitalsView(here.adapter, environment, ours)
    const other = new VitalsView(there.adapter, environment, theirs)
    await environment.run(Promise.all([view.open(), other.open()]))
    expect(view.topic('totals').complete).toBe(true)

    here.break()
    await environment.settle()
    await environment.run(theirs.announce([announcement('app/count/0')]))
    await environment.run(ours.announce([announcement('app/count/1')]))
    expect(view.topic('totals').complete, 'it cannot know what it has missed').toBe(false)
    expect(view.topic('others').complete).toBe(false)

    await environment.run(view.refresh())
    expect([...view.tasks.keys()].sort()).toEqual(['app/count/0', 'app/count/1'])
    expect(view.topic('totals').members.size).toBe(2)
    expect(view.topic('totals').complete).toBe(true)
    expect(view.topic('others').complete).toBe(true)
    await environment.run(Promise.all([view.close(), other.close(), ours.close(), theirs.close()]))
  })
})
