import type { TracedWork, Tracing } from '../core/tracing.ts'
import type { OutputBuffer } from './outputs.ts'

/** Does the work within a span of its own, which what it writes carries on. */
export async function traced<Result>(
  tracing: Tracing,
  work: TracedWork,
  outputs: OutputBuffer,
  call: () => Promise<Result>
): Promise<Result> {
  const span = tracing.begin(work)
  outputs.trace = span.headers
  try {
    const result = await span.within(call)
    span.end()
    return result
  } catch (error) {
    span.end(error)
    throw error
  } finally {
    outputs.trace = undefined
  }
}
