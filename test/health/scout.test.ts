/** What producers and brokers count is checked by reading: only a record that is there is a stall. */
import { describe, expect, it } from 'vitest'
import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import { sleep } from '../../src/core/environment.ts'
import { noHeaders } from '../../src/core/record.ts'
import { ProcessHealth, type Pulse } from '../../src/health/index.ts'
import { Scout } from '../../src/pipeline/scout.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'

interface Scene {
  readonly environment: SimulatedEnvironment
  readonly broker: MemoryBroker
  readonly health: ProcessHealth
  readonly pulse: Pulse
  pending: number
  position: string | undefined
  pass(milliseconds: number): Promise<void>
  write(): void
  /** Readers that were opened. */
  readonly opened: () => number
}

function scene({ lag = 0, log = true }: { lag?: number; log?: boolean } = {}): Scene {
  const environment = new SimulatedEnvironment()
  const broker = new MemoryBroker()
  broker.createTopic({ topic: 'orders', partitions: 1 })
  const inner = memory({ broker })
  void inner.open(environment)
  let opened = 0
  const adapter = {
    ...inner,
    capabilities: { ...inner.capabilities, positions: log ? 'log' : 'none' },
    classify: inner.classify,
    partitionReader: (options: never) => {
      opened++
      return inner.partitionReader!(options)
    },
    admin: () => ({ backlog: async () => [{ topic: 'orders', partition: 0, records: lag }], close: async () => {} })
  }
  const health = new ProcessHealth(environment)
  const limits = { stalledAfter: 60_000, unreachableAfter: 10_000 }
  const run = health.run('app', limits)
  const stage = run.stage('look')
  const from = [{ topic: { name: 'orders' }, partitions: 1 }]
  new Scout(
    { environment, adapter, settings: limits, health: run, pipeline: 'app', stage: { name: 'look' }, from } as never,
    stage
  ).start()
  run.enter('running')
  const pulse = stage.begin(0)
  const made: Scene = {
    environment,
    broker,
    health,
    pulse,
    pending: 0,
    position: undefined,
    pass: milliseconds => environment.run(sleep(environment, milliseconds)),
    write: () => {
      const record = { key: null, value: Buffer.from('x'), headers: noHeaders, stamp: undefined, timestamp: 0 }
      broker.appendAll([{ topic: 'orders', partition: 0, ...record }])
    },
    opened: () => opened
  }
  pulse.load = () => ({
    queued: false,
    owing: false,
    done: 0,
    pending: () => made.pending,
    places: [{ topic: 'orders', partition: 0, position: made.position }]
  })
  return made
}

const causes = ({ health }: Scene): string[] => health.report().problems.map(({ cause }) => cause)

describe('the scout', () => {
  it('does not believe a backlog of markers, of aborted transactions, of expired records, and does not ask again', async () => {
    const it = scene({ lag: 1 })
    it.pending = 7
    for (let second = 0; second < 900; second++) {
      await it.pass(1_000)
      expect(causes(it)).toEqual([])
    }
    expect(it.opened()).toBe(1)
    it.health.close()
  })

  it.each(['the broker counts', 'producers report'])('finds the record that is there, when %s it', async who => {
    const it = scene({ lag: who === 'the broker counts' ? 1 : 0 })
    if (who !== 'the broker counts') it.pending = 1
    it.write()
    await it.pass(80_000)
    expect(causes(it)).toEqual([])
    await it.pass(30_000)
    expect(causes(it)).toEqual(['stalled'])
    it.pulse.beat()
    expect(causes(it)).toEqual([])
    it.health.close()
  })

  it('looks behind the place that was reached, and from the start where retention has passed it by', async () => {
    const read = scene({ lag: 3 })
    read.write()
    read.position = '0'
    await read.pass(200_000)
    expect(causes(read)).toEqual([])
    read.health.close()
    const lost = scene({ lag: 3 })
    for (let count = 0; count < 5; count++) lost.write()
    lost.position = '0'
    lost.broker.topic('orders').partitions[0]!.truncate(3)
    await lost.pass(200_000)
    expect(causes(lost)).toEqual(['stalled'])
    lost.health.close()
  })

  it('does not ask about a task that gets on', async () => {
    const it = scene({ lag: 1 })
    it.write()
    for (let second = 0; second < 300; second++) {
      await it.pass(1_000)
      it.pulse.beat()
    }
    expect(it.opened()).toBe(0)
    it.health.close()
  })

  it('on a queue takes a backlog that grows for the truth, and one that stands still not', async () => {
    const it = scene({ log: false })
    it.pending = 5
    await it.pass(300_000)
    expect(causes(it)).toEqual([])
    it.pending = 6
    await it.pass(120_000)
    expect(causes(it)).toEqual(['stalled'])
    it.health.close()
  })
})
