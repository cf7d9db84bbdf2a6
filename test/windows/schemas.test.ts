/** State whose codecs come from a registry: bound when the pipeline starts, read with the schema that wrote it. */
import { beforeAll, expect, it } from 'vitest'
import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import { MemoryStore } from '../../src/exactly-once/index.ts'
import {
  aggregate,
  connect,
  intervalJoin,
  json,
  keyed,
  pipeline,
  processor,
  source,
  tableJoin,
  text,
  topic,
  tumbling,
  type Codec,
  type Pipeline
} from '../../src/index.ts'
import { avro, memoryRegistry } from '../../src/schema/index.ts'
import { TopicContents } from '../../src/testing/drive-output.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'

const start = Date.UTC(2026, 0, 1)
const fields = [{ name: 'cents', type: 'int' }] as const
/** Both versions of the program share a registry and a store, and nothing else: codecs know only what they have fetched. */
const first = avro({ type: 'record', name: 'Amount', fields })
const second = avro({ type: 'record', name: 'Amount', fields: [...fields, { name: 'tip', type: 'int', default: 7 }] })

type Amount = Codec<{ cents: number; tip?: number }>
type Build = (amount: Amount, entries: readonly [topic: string, offset: number, cents: number][]) => Pipeline

const results = topic('results', { key: text, value: json<unknown>(), partitions: 1 })
const topics = (
  amount: Amount
): ReturnType<typeof topic<'lefts' | 'rights', { cents: number; tip?: number }, string>>[] =>
  (['lefts', 'rights'] as const).map(name => topic(name, { key: text, value: amount, partitions: 1 }))

const feeds = (amount: Amount, entries: Parameters<Build>[1], stage: (lefts: any, rights: any) => any): Pipeline => {
  const [lefts, rights] = topics(amount)
  const feed = (to: typeof lefts): ReturnType<typeof source> =>
    source({
      name: `feed-${to!.name}`,
      to: to!,
      async *run({ signal }) {
        for (const [name, offset, cents] of entries)
          if (name === to!.name) yield { key: 'k', value: { cents, tip: 0 }, eventTime: start + offset }
        await new Promise(resolve => signal.addEventListener('abort', resolve))
      }
    })
  return pipeline('schemas', [feed(lefts), feed(rights), stage(lefts, rights)])
}

const builds: Record<string, [Build, unknown[]]> = {
  'keyed state': [
    (amount, entries) =>
      feeds(amount, entries, lefts =>
        processor({
          name: 'keeping',
          from: lefts,
          to: results,
          state: { last: keyed(amount) },
          process: ({ key, value }: any, { state }: any) => {
            const last = state.last.get()
            state.last.set(value)
            return { key, value: last ?? 'none' }
          }
        } as never)
      ),
    ['none', { cents: 1, tip: 7 }]
  ],
  windows: [
    (amount, entries) =>
      feeds(amount, entries, lefts =>
        aggregate({
          name: 'keeping',
          from: lefts,
          to: results,
          window: tumbling(1_000),
          accumulator: amount,
          early: { count: 1 },
          init: () => ({ cents: 0, tip: 0 }),
          add: (sum: any, { value }: any) => ({ cents: sum.cents + value.cents, tip: sum.tip! }),
          result: ({ key, value }: any) => ({ key, value })
        } as never)
      ),
    [
      { cents: 1, tip: 0 },
      { cents: 4, tip: 7 }
    ]
  ],
  'an interval join': [
    (amount, entries) =>
      feeds(amount, entries, (left, right) =>
        intervalJoin({
          ...{ name: 'keeping', left, right, to: results, before: 1_000, after: 1_000 },
          join: ({ key, value }: any, other: any) => ({ key, value: [value, other.value] })
        } as never)
      ),
    [
      [
        { cents: 1, tip: 7 },
        { cents: 3, tip: 0 }
      ]
    ]
  ],
  'a table join': [
    (amount, entries) =>
      feeds(amount, entries, (table, from) =>
        tableJoin({
          ...{ name: 'keeping', from, table, to: results },
          join: ({ key, value }: any, row: any) => ({ key, value: [row.value, value] })
        } as never)
      ),
    [
      [
        { cents: 1, tip: 7 },
        { cents: 3, tip: 0 }
      ]
    ]
  ]
}

// Loaded now: a simulated clock does not wait for the disk.
beforeAll(() => import('avsc'))

it.each(Object.entries(builds))('%s is read with the schema that wrote it', async (name, [build, expected]) => {
  const broker = new MemoryBroker()
  const store = new MemoryStore()
  const registry = memoryRegistry()
  const run = async (amount: Amount, entries: Parameters<Build>[1]): Promise<void> => {
    const environment = new SimulatedEnvironment()
    const client = await connect({
      brokers: { default: memory({ broker, client: amount === first ? 'first' : 'second' }) },
      store,
      registry,
      environment,
      variables: {}
    })
    const stop = new AbortController()
    const running = client.run(build(amount, entries), { handleSignals: false, signal: stop.signal })
    await environment.advance(2_000)
    stop.abort()
    await environment.run(running)
    await client.close()
  }
  await run(first as never, [['lefts', 0, 1]])
  await run(second as never, [[name.includes('join') ? 'rights' : 'lefts', 5, 3]])
  const reader = memory({ broker, client: 'reader' })
  await reader.open(new SimulatedEnvironment())
  const values = (await new TopicContents(reader, undefined).records(results)).map(({ value }) => value)
  expect(values).toEqual(expected)
})
