/** `docs/vitals.schema.json` against what is really sent: other programs read the vitals by that page. */
import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { connect, json, pipeline, processor, sink, source, text, topic } from '../../src/index.ts'
import { memory } from '../../src/adapters/memory/index.ts'
import { decodeVitals, encodeVitals, vitalsTopic } from '../../src/watermark/index.ts'

const file = new URL('../../docs/vitals.schema.json', import.meta.url)
const schema = z.fromJSONSchema(JSON.parse(await readFile(file, 'utf8')))
type Report = Record<string, any>

const words = topic('words', {
  key: text,
  value: json<{ at: number }>(),
  eventTime: word => word.at,
  lateness: 10,
  partitions: 2
})
const echoes = topic('echoes', { key: text, value: json<{ at: number }>(), partitions: 3 })

/** Runs a pipeline and a plain producer on one broker and gives every report that they have sent. */
async function reportsOf(guarantee: 'exactly-once' | 'at-least-once'): Promise<Report[]> {
  const adapter = memory()
  await using client = await connect({ brokers: { default: adapter } })
  const first = source({
    name: 'first',
    to: words,
    *run() {
      for (let at = 0; at < 100; at++) yield { key: `key-${at % 7}`, value: { at: 1_700_000_000_000 + at } }
    }
  })
  const second = processor({
    name: 'second',
    from: words,
    to: echoes,
    failure: { retries: 0 },
    process({ key, value }) {
      if (value.at % 50 === 0) throw new Error('refused')
      return { key, value }
    }
  })
  const third = sink({ name: 'third', from: echoes, write: () => {} })
  await client.run(pipeline('words', [first, second, third]), { guarantee, vitalsInterval: 50 })
  const producer = await client.producer(words)
  await producer.send({ key: 'key', value: { at: 1 } })
  await producer.close()
  const reader = await adapter.partitionReader!({
    topic: vitalsTopic,
    partition: 0,
    from: 'earliest',
    readCommitted: false,
    maxBytes: 1 << 24
  })
  const reports: Report[] = []
  for (let atEnd = false; !atEnd;) {
    const received = await reader.receive({ wait: 100 })
    for (const { key, value } of received.records) {
      const report = JSON.parse(Buffer.from(value!).toString()) as Report
      expect(report['producer']).toBe(Buffer.from(key!).toString('hex'))
      reports.push(report)
    }
    atEnd = received.atEnd
  }
  await reader.close()
  return reports
}

describe.each(['exactly-once', 'at-least-once'] as const)('the reports of an %s pipeline', guarantee => {
  it('are as the schema says', async () => {
    const reports = await reportsOf(guarantee)
    for (const report of reports)
      expect(schema.safeParse(report), JSON.stringify(report)).toMatchObject({ success: true })

    // What is validated must hold the cases that the schema tells apart.
    expect(new Set(reports.map(({ state }) => state))).toEqual(new Set(['joining', 'active', 'closing', 'left']))
    expect(new Set(reports.map(({ durable }) => durable))).toEqual(
      new Set(guarantee === 'exactly-once' ? [true, false] : [false])
    )
    const stages = [
      'words/first/main',
      'words/second/0',
      'words/second/1',
      'words/third/0',
      'words/third/1',
      'words/third/2'
    ]
    const tasks = reports.map(({ task }) => task as string)
    expect(tasks).toEqual(expect.arrayContaining(stages))
    expect(tasks.filter(task => !stages.includes(task)).every(task => /^producer\/[0-9a-f]{32}$/.test(task))).toBe(true)
    const last = (task: string): Report => reports.findLast(report => report['task'] === task)!
    expect(last('words/first/main')).toMatchObject({ state: 'closing', watermark: 'end', counts: { emitted: 100 } })
    expect(last('words/first/main')['outputs']).toHaveProperty(['words', 'watermark'], 'end')
    const parked = last('words/second/0')['counts'].parked + last('words/second/1')['counts'].parked
    expect(parked).toBe(2)
  })
})

describe('the schema', () => {
  const stage = { at: 1, tasks: 2, silent: 0, pending: 3, failureRate: 0.5, late: 0, parked: 0 }
  const health = {
    at: 1_700_000_000_000,
    every: 1000,
    pending: 3,
    failureRate: 0.25,
    heldBy: { task: 'words/first/main', cause: 'quiet', since: 1_700_000_000_000 },
    upstream: { 'words/first': stage }
  }
  const good: Report = {
    v: 1,
    producer: '00112233445566778899aabbccddeeff',
    task: 'words/second/0',
    durable: true,
    state: 'active',
    watermark: 1_700_000_000_000,
    outputs: { echoes: { watermark: null, last: { 0: 12, 2: 1 } } },
    counts: { processed: 13, emitted: 13, parked: 0, late: 0, expired: 0, duplicates: 0, lost: 0 },
    commit: 4,
    beat: 7,
    health
  }

  it('takes a report, also one with fields of a later release', () => {
    expect(schema.safeParse(good).success).toBe(true)
    expect(
      schema.safeParse({ ...good, region: {}, outputs: { echoes: { ...good['outputs'].echoes, extra: 1 } } }).success
    ).toBe(true)
  })

  it.each<[string, Report]>([
    ['another version', { v: 2 }],
    ['a producer that is no id', { producer: 'words' }],
    ['an unknown state', { state: 'asleep' }],
    ['a time in words', { watermark: 'noon' }],
    ['a missing time', { watermark: undefined }],
    ['a partition that is none', { outputs: { echoes: { watermark: 1, last: { first: 1 } } } }],
    ['a sequence of zero', { outputs: { echoes: { watermark: 1, last: { 0: 0 } } } }],
    ['outputs without a promise', { outputs: { echoes: { last: {} } } }],
    ['a count below zero', { counts: { ...good['counts'], lost: -1 } }],
    ['a missing count', { counts: { processed: 1 } }],
    ['a cause that is none', { health: { ...health, heldBy: { task: 'a/b/0', cause: 'lazy', since: 1 } } }],
    ['a health without a time', { health: { ...health, at: undefined } }]
  ])('refuses %s', (_, change) => {
    const report = JSON.parse(JSON.stringify({ ...good, ...change })) as unknown
    expect(schema.safeParse(report).success).toBe(false)
  })

  it('describes what the code writes and reads, also what not every report has', () => {
    const full = {
      ...good,
      outputs: { echoes: { ...good['outputs'].echoes, sent: { every: 60_000, from: 60_000, spans: { 120000: [5] } } } },
      inputs: { words: { partition: 0, read: { every: 60_000, spans: { '-60000': [5, 4, 3, 2] } } } },
      health: {
        ...health,
        lateRate: 0.5,
        heuristic: true,
        upstream: { 'words/first': { ...stage, lateRate: 0, ahead: -7_000 } },
        troubles: [
          { stage: 'words/first', cause: 'skewed', since: 1, ahead: -7_000, hops: 1 },
          { stage: 'words/second', cause: 'cut-off', since: 2, share: 0.5, hops: 0 }
        ]
      }
    }
    expect(schema.safeParse(full)).toMatchObject({ success: true })
    expect(JSON.parse(encodeVitals(decodeVitals(Buffer.from(JSON.stringify(full)))).toString())).toEqual(full)
    const { inputs, ...rest } = full
    for (const wrong of [
      { ...rest, inputs: { words: { read: inputs.words.read } } },
      { ...rest, inputs: { words: { partition: 0, read: { every: 60_000, spans: { noon: [1, 2, 3, 4] } } } } },
      { ...rest, inputs: { words: { partition: 0, read: { every: 60_000, spans: { 0: [1, 2, 3] } } } } },
      { ...rest, health: { ...health, heuristic: 'maybe' } },
      { ...rest, health: { ...health, troubles: [{ stage: 'a/b', cause: 'lazy', since: 1, hops: 0 }] } }
    ])
      expect(schema.safeParse(wrong).success, JSON.stringify(wrong)).toBe(false)
  })

  it('describes what the code writes and reads', () => {
    const decoded = decodeVitals(Buffer.from(JSON.stringify(good)))
    expect(JSON.parse(encodeVitals(decoded).toString())).toEqual(good)
  })
})
