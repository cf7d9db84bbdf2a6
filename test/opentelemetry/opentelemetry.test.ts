import { AsyncLocalStorage } from 'node:async_hooks'
import * as api from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { memory } from '../../src/adapters/memory/index.ts'
import { connect, headerText, number, pipeline, processor, source, text, topic } from '../../src/index.ts'
import { openTelemetry } from '../../src/opentelemetry/index.ts'

interface Ended {
  readonly name: string
  readonly kind: number | undefined
  readonly trace: string
  readonly id: string
  readonly parent: string | undefined
  readonly links: readonly string[]
  readonly failed: boolean
}

const ended: Ended[] = []
const ids = { next: 1 }
const hex = (length: number): string => (ids.next++).toString(16).padStart(length, '0')

/** As little of an SDK as shows what reaches one. */
const tracer: Pick<api.Tracer, 'startSpan'> = {
  startSpan(name, { kind, links = [] } = {}, context = api.context.active()) {
    const above = api.trace.getSpanContext(context)
    const spanContext = { traceId: above?.traceId ?? hex(32), spanId: hex(16), traceFlags: 1 }
    let failed = false
    const span = {
      spanContext: () => spanContext,
      setStatus: ({ code }: api.SpanStatus) => void (failed = code === api.SpanStatusCode.ERROR),
      recordException: () => {},
      end: () =>
        void ended.push({
          name,
          kind,
          trace: spanContext.traceId,
          id: spanContext.spanId,
          parent: above?.spanId,
          links: links.map(link => link.context.spanId),
          failed
        })
    }
    return span as unknown as api.Span
  }
}

const storage = new AsyncLocalStorage<api.Context>()
const manager: api.ContextManager = {
  active: () => storage.getStore() ?? api.ROOT_CONTEXT,
  with: (context, call, self, ...given) => storage.run(context, () => call.call(self as never, ...given)),
  bind: (_, target) => target,
  enable: () => manager,
  disable: () => manager
}

const observables = new Map<string, (result: { observe(value: number, attributes?: api.Attributes): void }) => void>()
const observable = (name: string) => ({
  addCallback: (look: never) => void observables.set(name, look),
  removeCallback: () => void observables.delete(name)
})
const recorded: number[] = []
const meter = {
  createObservableGauge: observable,
  createObservableCounter: observable,
  createHistogram: () => ({ record: (value: number) => void recorded.push(value) })
}

/** `stage -> value`, summed over its tasks. */
function metric(name: string): Record<string, number> {
  const sums: Record<string, number> = {}
  observables.get(name)!({
    observe(value, attributes = {}) {
      const stage = String(attributes['tidemark.stage'])
      sums[stage] = (sums[stage] ?? 0) + value
    }
  })
  return sums
}

beforeAll(() => {
  api.propagation.setGlobalPropagator(new W3CTraceContextPropagator())
  api.context.setGlobalContextManager(manager)
  api.trace.setGlobalTracerProvider({ getTracer: () => tracer as api.Tracer })
  api.metrics.setGlobalMeterProvider({ getMeter: () => meter as unknown as api.Meter })
})
afterAll(() => {
  for (const global of [api.propagation, api.context, api.trace, api.metrics]) global.disable()
})

const ticks = topic('ticks', { key: text, value: number, partitions: 1 })
const doubled = topic('doubled', { key: text, value: number, partitions: 1 })
const seen: { value: number; traceparent: string | undefined; active: string | undefined }[] = []

const double = processor({
  name: 'double',
  from: ticks,
  to: doubled,
  failure: { retries: 0 },
  async process({ key, value }) {
    await Promise.resolve()
    if (value === 13) throw new Error('unlucky')
    return { key, value: value * 2 }
  }
})
const look = processor({
  name: 'look',
  from: doubled,
  process({ value, headers }) {
    const active = api.trace.getSpanContext(api.context.active())?.spanId
    seen.push({ value, traceparent: headerText(headers, 'traceparent'), active })
  }
})

describe('with OpenTelemetry', () => {
  it('a trace goes from hop to hop, and every task is measured', { timeout: 20_000 }, async () => {
    const telemetry = openTelemetry(api)
    onTestFinished(() => telemetry.close())
    await using client = await connect({ brokers: { default: memory() }, tracing: telemetry.tracing, variables: {} })
    const feed = source({
      name: 'feed',
      to: ticks,
      *run() {
        yield Array.from({ length: 20 }, (_, value) => ({ key: 'k', value, eventTime: 1_000 + value }))
      }
    })
    const app = pipeline('traced', [feed, double, look])
    await client.run(app, { handleSignals: false, vitalsInterval: 50 })

    const first = ended.find(({ name }) => name === 'traced/feed')!
    const batch = ended.find(({ name }) => name === 'traced/double')!
    const last = ended.find(({ name }) => name === 'traced/look')!
    expect([first.kind, batch.kind]).toEqual([api.SpanKind.PRODUCER, api.SpanKind.CONSUMER])
    // One span above: the trace goes on.
    expect([batch.parent, batch.trace]).toEqual([first.id, first.trace])
    expect(last.trace).toBe(first.trace)
    expect(seen).toHaveLength(19)
    for (const { traceparent, active } of seen) {
      expect(traceparent).toMatch(new RegExp(`^00-${first.trace}-[0-9a-f]{16}-01$`))
      expect(ended.some(({ id, name }) => id === active && name === 'traced/look')).toBe(true)
    }

    expect(metric('tidemark.records.processed')).toMatchObject({ double: 19, look: 19 })
    expect(metric('tidemark.records.parked')).toMatchObject({ double: 1, look: 0 })
    expect(metric('tidemark.records.emitted')).toMatchObject({ feed: 20 })
    expect(metric('tidemark.task.backlog')).toMatchObject({ double: 0 })
    expect(Object.keys(metric('tidemark.task.failure_rate'))).toContain('double')
    expect(recorded.length).toBeGreaterThan(2)
  })

  it('a batch with records of several spans is linked to each, and its producers carry the span they are sent in', async () => {
    const telemetry = openTelemetry(api)
    onTestFinished(() => telemetry.close())
    const { tracing } = telemetry
    const spans = ['one', 'two'].map(task =>
      tracing.begin({ task, topic: undefined, partition: undefined, headers: [] })
    )
    const headers = [...spans, ...spans].map(span => span.headers)
    tracing.begin({ task: 'a/b/0', topic: 'ticks', partition: 0, headers: [...headers, {}] }).end(new Error('unlucky'))
    const batch = ended.at(-1)!
    expect(batch.links).toHaveLength(2)
    expect(batch.parent).toBeUndefined()
    expect(batch.failed).toBe(true)
    expect(spans.map(span => headerText(span.headers, 'traceparent')!.split('-')[2])).toEqual(batch.links)

    await using client = await connect({ brokers: { default: memory() }, tracing, variables: {} })
    await client.admin.ensure(ticks)
    await using producer = await client.producer(ticks)
    await spans[0]!.within(() => producer.send({ key: 'k', value: 1 }))
    await producer.send({ key: 'k', value: 2 })
    for await (const record of client.consumer(ticks, { group: 'reader' })) {
      const traceparent = headerText(record.headers, 'traceparent')
      expect(traceparent).toBe(record.value === 1 ? headerText(spans[0]!.headers, 'traceparent') : undefined)
      if (record.value === 2) break
    }
  })

  it('a batch handler is called in a span that is linked to those of its records, and its outputs carry it', async () => {
    const telemetry = openTelemetry(api)
    onTestFinished(() => telemetry.close())
    const { tracing } = telemetry
    await using client = await connect({ brokers: { default: memory() }, tracing, variables: {} })
    const above = ['one', 'two', 'three'].map(task =>
      tracing.begin({ task, topic: undefined, partition: undefined, headers: [] })
    )
    await client.admin.ensure(ticks)
    const producer = await client.producer(ticks)
    for (const [value, span] of above.entries()) await span.within(() => producer.send({ key: 'k', value }))
    const calls: { values: readonly number[]; active: string | undefined }[] = []
    const app = pipeline('together', [
      processor({
        name: 'double',
        from: ticks,
        to: doubled,
        // They came one by one: they are of one batch because it waits.
        batch: { records: 3, wait: '10s' },
        async processBatch(records) {
          await Promise.resolve()
          const active = api.trace.getSpanContext(api.context.active())?.spanId
          calls.push({ values: records.map(({ value }) => value), active })
          return records.map(({ key, value }) => ({ key, value: value * 2 }))
        }
      })
    ])
    const stop = new AbortController()
    const running = client.run(app, { handleSignals: false, signal: stop.signal })
    for await (const { headers } of client.consumer(doubled, { group: 'reader' })) {
      expect(headerText(headers, 'traceparent')!.split('-')[2]).toBe(calls[0]!.active)
      stop.abort()
      break
    }
    await running
    await producer.close()
    expect(calls.map(({ values }) => values)).toEqual([[0, 1, 2]])
    const span = ended.find(({ id }) => id === calls[0]!.active)!
    expect(span).toMatchObject({ name: 'together/double', kind: api.SpanKind.CONSUMER, failed: false })
    expect(span.links).toEqual(above.map(({ headers }) => headerText(headers, 'traceparent')!.split('-')[2]))
  })

  it('who holds a watermark is a metric, and a closed telemetry hears nothing', async () => {
    const { channel } = await import('node:diagnostics_channel')
    const telemetry = openTelemetry(api)
    const heldBy = { task: 'x/y/0', cause: 'slow', since: Date.now() - 5_000 }
    const counts = { processed: 1, emitted: 1, parked: 0, late: 2, expired: 0, duplicates: 0, lost: 0 }
    const vitals = {
      task: 'a/held/0',
      watermark: Date.now() - 9_000,
      pending: 7,
      failureRate: 0,
      lateRate: 0,
      counts,
      heldBy
    }
    channel('tidemark:vitals').publish(vitals)
    expect(metric('tidemark.task.held_by')['held']).toBeGreaterThanOrEqual(5_000)
    expect(metric('tidemark.task.lag')['held']).toBeGreaterThanOrEqual(9_000)
    expect(metric('tidemark.task.backlog')).toMatchObject({ held: 7 })
    expect(metric('tidemark.records.late')).toMatchObject({ held: 2 })
    channel('tidemark:vitals').publish({ ...vitals, watermark: -Infinity, heldBy: undefined })
    expect(metric('tidemark.task.watermark')).not.toHaveProperty('held')
    expect(metric('tidemark.task.held_by')).not.toHaveProperty('held')
    telemetry.close()
    expect(observables.size).toBe(0)
  })
})
