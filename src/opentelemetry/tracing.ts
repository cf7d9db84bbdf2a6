import { messageOf } from '../core/errors.ts'
import { headerText, noHeaders, type Headers } from '../core/record.ts'
import type { TracedSpan, TracedWork, Tracing } from '../core/tracing.ts'
import type { OpenTelemetryApi, SpanContext, Tracer } from './api.ts'

/** `SpanKind` and `SpanStatusCode` of the API: numbers, because they are erased enums there. */
const producerKind = 3
const consumerKind = 4
const failedStatus = 2
/** Most spans that one is linked to: what SDKs keep by default. */
const mostLinks = 128
/** Headers of W3C Trace Context and of Baggage, and those of older propagators. */
const carried = ['traceparent', 'tracestate', 'baggage', 'b3', 'uber-trace-id'] as const

/**
 * A span for each batch of records at a task. All records of one trace: it goes on below the first span of them, and is linked to
 * the others. Records of several traces: it begins one, and is linked to all of them, because such a batch has no one parent.
 */
export class OpenTelemetryTracing<Context> implements Tracing {
  readonly #api: OpenTelemetryApi<Context>
  readonly #tracer: Tracer<Context>

  constructor(api: OpenTelemetryApi<Context>) {
    this.#api = api
    this.#tracer = api.trace.getTracer('tidemark')
  }

  begin({ task, topic, partition, headers }: TracedWork): TracedSpan {
    const { context, trace, ROOT_CONTEXT } = this.#api
    const above = this.#above(headers)
    const [first] = above
    const goesOn = first !== undefined && above.every(({ span }) => span.traceId === first.span.traceId)
    const stage = task.split('/').slice(0, 2).join('/')
    const kind = topic === undefined ? producerKind : consumerKind
    const attributes = {
      'messaging.system': 'tidemark',
      'messaging.operation.type': topic === undefined ? 'send' : 'process',
      'tidemark.task': task,
      ...(topic !== undefined && {
        'messaging.destination.name': topic,
        'messaging.destination.partition.id': String(partition),
        'messaging.batch.message_count': headers.length
      })
    }
    const links = (goesOn ? above.slice(1) : above).map(({ span }) => ({ context: span }))
    const parent = goesOn ? first.context : ROOT_CONTEXT
    const span = this.#tracer.startSpan(stage, { kind, attributes, links }, parent)
    const own = trace.setSpan(parent, span)
    return {
      headers: this.#carrier(own) ?? noHeaders,
      within: call => context.with(own, call),
      end(error) {
        if (error !== undefined) {
          span.recordException(error)
          span.setStatus({ code: failedStatus, message: messageOf(error) })
        }
        span.end()
      }
    }
  }

  current(): Headers | undefined {
    return this.#carrier(this.#api.context.active())
  }

  /** Each span above once. */
  #above(all: readonly Headers[]): { readonly context: Context; readonly span: SpanContext }[] {
    const { propagation, trace, ROOT_CONTEXT } = this.#api
    const found = new Map<string, { context: Context; span: SpanContext }>()
    const seen = new Set<string>()
    for (const headers of all) {
      const carrier: Record<string, string> = {}
      for (const name of carried) {
        const text = headerText(headers, name)
        if (text !== undefined) carrier[name] = text
      }
      const key = `${carrier['traceparent'] ?? ''} ${carrier['b3'] ?? ''} ${carrier['uber-trace-id'] ?? ''}`
      if (key === '  ' || seen.has(key)) continue
      seen.add(key)
      const context = propagation.extract(ROOT_CONTEXT, carrier)
      const span = trace.getSpanContext(context)
      if (span) found.set(span.spanId, { context, span })
      if (found.size >= mostLinks) break
    }
    return [...found.values()]
  }

  #carrier(context: Context): Headers | undefined {
    const carrier: Record<string, string> = {}
    this.#api.propagation.inject(context, carrier)
    const entries = Object.entries(carrier)
    if (entries.length === 0) return undefined
    return Object.fromEntries(entries.map(([name, text]) => [name, Buffer.from(text, 'utf8')]))
  }
}
