/**
 * What is used of the module `@opentelemetry/api` (1.x), as a structure: it is handed in, so whoever does not use it need not have it.
 */
export interface OpenTelemetryApi<Context = any> {
  readonly ROOT_CONTEXT: Context
  readonly context: {
    active(): Context
    with<Arguments extends unknown[], Result>(
      context: Context,
      call: (...given: Arguments) => Result,
      self?: undefined,
      ...given: Arguments
    ): Result
  }
  readonly propagation: {
    extract(context: Context, carrier: unknown): Context
    inject(context: Context, carrier: unknown): void
  }
  readonly trace: {
    getTracer(name: string, version?: string): Tracer<Context>
    setSpan(context: Context, span: any): Context
    getSpanContext(context: Context): SpanContext | undefined
  }
  readonly metrics: { getMeter(name: string, version?: string): Meter }
}

export interface SpanContext {
  readonly traceId: string
  readonly spanId: string
  readonly traceFlags: number
}

export type Attributes = Record<string, string | number>

export interface Tracer<Context> {
  startSpan(
    name: string,
    options?: { kind?: number; attributes?: Attributes; links?: { context: any }[]; root?: boolean },
    context?: Context
  ): Span
}

export interface Span {
  setStatus(status: { code: number; message?: string }): unknown
  recordException(error: any): void
  end(): void
}

export interface Result {
  observe(value: number, attributes?: Attributes): void
}

export interface Meter {
  createObservableGauge(name: string, options?: { description?: string; unit?: string }): Observable
  createObservableCounter(name: string, options?: { description?: string; unit?: string }): Observable
  createHistogram(
    name: string,
    options?: { description?: string; unit?: string }
  ): { record(value: number, attributes?: Attributes): void }
}

export interface Observable {
  addCallback(callback: (result: Result) => void): void
  removeCallback(callback: (result: Result) => void): void
}
