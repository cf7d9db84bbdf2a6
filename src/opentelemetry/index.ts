import { systemEnvironment, type Environment } from '../core/environment.ts'
import type { Tracing } from '../core/tracing.ts'
import type { OpenTelemetryApi } from './api.ts'
import { startMetrics } from './metrics.ts'
import { OpenTelemetryTracing } from './tracing.ts'

export type { OpenTelemetryApi } from './api.ts'
export type { Tracing } from '../core/tracing.ts'

export interface Telemetry {
  /** For `connect({ tracing })`. */
  readonly tracing: Tracing
  /** No more metrics. */
  close(): void
}

/**
 * Metrics of every task in this process, and traces that go from hop to hop in the headers of records. The API is handed in as it is
 * imported; with no SDK behind it, nothing happens.
 *
 * @example
 * import * as api from '@opentelemetry/api'
 * const telemetry = openTelemetry(api)
 * await using client = await connect({ brokers, tracing: telemetry.tracing })
 */
export function openTelemetry<Context>(
  api: OpenTelemetryApi<Context>,
  { environment = systemEnvironment }: { readonly environment?: Environment } = {}
): Telemetry {
  const close = startMetrics(api.metrics.getMeter('tidemark'), () => environment.now())
  return { tracing: new OpenTelemetryTracing(api), close }
}
