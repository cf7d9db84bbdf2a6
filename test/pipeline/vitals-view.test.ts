import { describe, expect, it } from 'vitest'
import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import { sleep } from '../../src/core/environment.ts'
import { StreamError } from '../../src/core/errors.ts'
import { VitalsPublisher } from '../../src/pipeline/vitals-publisher.ts'
import { ensureTopic, VitalsView } from '../../src/pipeline/index.ts'
import type { AnyAdapter, PartitionReader } from '../../src/spec/index.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'
import { noCounts, silence, vitalsTopic } from '../../src/watermark/index.ts'
import { Random } from '../../simulation/core/random.ts'
import { Story } from '../../simulation/core/story.ts'
import { queueUnordered } from '../../simulation/personalities/queue.ts'

const environment = new SimulatedEnvironment()
const broker = new MemoryBroker()
const kind = queueUnordered()

/** A queue whose subscriptions can be broken: the receive under way rejects, and what comes until the next one is not kept. */
function queue(client: string, of = broker, time = environment): { adapter: AnyAdapter; break(): void } {
  const inner = memory({ broker: of, client })
  void inner.open(time)
  const parts = {
    broker: of,
    environment: time,
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

describe('the vitals of a log, while they cannot be read', () => {
  it('keep a task that meets a stranger for a second, and then only the watermarks of that topic', async () => {
    const world = new MemoryBroker()
    const time = new SimulatedEnvironment()
    const adapter = memory({ broker: world, client: 'reader' })
    await adapter.open(time)
    await time.run(ensureTopic(adapter, time, { topic: vitalsTopic, partitions: 1, compacted: true }))
    const view = new VitalsView(adapter, time)
    await time.run(view.open())
    const [totals, others] = [view.topic('totals'), view.topic('others')]
    world.faults.fail({ operation: 'read-partition', client: 'reader', times: 1_000_000 })
    const began = time.monotonic()
    await time.run(view.meet('totals'))
    expect(time.monotonic() - began).toBeGreaterThanOrEqual(1_000)
    expect(time.monotonic() - began).toBeLessThan(1_500)
    expect([totals.complete, others.complete]).toEqual([false, true])

    // A second one, and then the broker answers: both are known, and time goes on.
    await time.run(view.meet('totals'))
    const publisher = new VitalsPublisher(adapter, time, 1_000)
    await time.run(publisher.announce([announcement('p/stranger/0')]))
    world.faults.clear()
    await time.advance(2_000)
    expect([totals.complete, others.complete]).toEqual([true, true])
    expect([...totals.members.values()].map(({ task }) => task)).toEqual(['p/stranger/0'])
    await time.run(view.close())
  })

  it('are made anew when somebody has deleted their topic, and everybody says again how far he is', async () => {
    const world = new MemoryBroker()
    const time = new SimulatedEnvironment()
    const adapter = memory({ broker: world, client: 'reader' })
    await adapter.open(time)
    await time.run(ensureTopic(adapter, time, { topic: vitalsTopic, partitions: 1, compacted: true }))
    const publisher = new VitalsPublisher(adapter, time, 1_000)
    const view = new VitalsView(adapter, time, publisher)
    await time.run(view.open())
    publisher.report({ ...announcement('p/task/0'), state: 'active', watermark: 5 })
    await time.advance(2_000)
    await time.run(adapter.admin().deleteTopic(vitalsTopic))
    await time.advance(3_000)
    const newcomer = new VitalsView(adapter, time)
    await time.run(newcomer.open())
    expect(newcomer.tasks.get('p/task/0')).toMatchObject({ state: 'active', watermark: 5 })
    await time.run(Promise.all([newcomer.close(), view.close(), publisher.close()]))
  })
})

describe('vitals that their reader did not hear for long', () => {
  it.each([
    ['a log', 'log'],
    ['a queue', 'queue']
  ])('are no silence of those who spoke all the time, on %s', async (_, kindOf) => {
    const time = new SimulatedEnvironment()
    const world = new MemoryBroker()
    const inner = kindOf === 'log' ? memory({ broker: world, client: 'reader' }) : queue('reader', world, time).adapter
    await inner.open(time)
    await time.run(ensureTopic(inner, time, { topic: vitalsTopic, partitions: 1 }))
    let until = 0
    // As of a process that is stopped with an old answer in its hand.
    const stopped = async (receive: () => ReturnType<PartitionReader['receive']>): ReturnType<typeof receive> => {
      if (until <= time.monotonic()) return receive()
      await sleep(time, until - time.monotonic())
      return { records: [], atEnd: false }
    }
    const adapter = {
      ...inner,
      partitionReader: async (options: never) => {
        const reader = await inner.partitionReader!(options)
        return { receive: (given: never) => stopped(() => reader.receive(given)), close: () => reader.close() }
      }
    } as AnyAdapter
    const theirs = new VitalsPublisher(inner, time, 1_000)
    const speaker = { ...announcement('speaker'), durable: false, state: 'active' } as const
    await time.run(theirs.announce([speaker]))
    const ours = new VitalsPublisher(inner, time, 1_000)
    const view = new VitalsView(adapter, time, ours)
    await time.run(view.open())
    const { members } = view.topic('totals')
    const lifted = (): boolean[] => [...members.values()].map(member => member.lifted)

    let heard: boolean[] = []
    view.onChange(() => (heard = [...heard, ...lifted()]))
    until = time.monotonic() + 40_000
    for (let second = 0; second < 45; second++) {
      theirs.report({ ...speaker, watermark: second })
      await time.advance(1_000)
    }
    expect(new Set([...heard, ...lifted()])).toEqual(new Set([false]))

    // From here on it is silent.
    theirs.forget(speaker.producer)
    await time.advance(silence + 5_000)
    expect(lifted()).toEqual([true])
    await time.run(Promise.all([view.close(), ours.close(), theirs.close()]))
  })
})

describe('a view of vitals whose topic another worker has just made', () => {
  it.each([
    [5, 'opens'],
    [Infinity, 'rejects']
  ])('and that is not there for %d attempts: %s', async (missing, ending) => {
    const clock = new SimulatedEnvironment()
    const inner = memory({ broker: new MemoryBroker(), client: 'here' })
    await inner.open(clock)
    await ensureTopic(inner, clock, { topic: vitalsTopic, partitions: 1 })
    let attempts = 0
    const adapter: AnyAdapter = new Proxy(inner, {
      get: (target, name) => {
        const member = Reflect.get(target, name, target) as unknown
        if (name === 'partitionReader')
          return async (options: never) => {
            if (++attempts <= missing) throw new StreamError('unknown-topic', 'not yet')
            return inner.partitionReader!(options)
          }
        return typeof member === 'function' ? member.bind(target) : member
      }
    })
    const view = new VitalsView(adapter, clock)
    const opened = clock.run(view.open())
    if (ending === 'opens') await opened
    else await expect(opened).rejects.toMatchObject({ code: 'unknown-topic' })
    expect(attempts).toBe(ending === 'opens' ? missing + 1 : 40)
    await clock.run(view.close())
  })
})
