import type { Headers } from './record.ts'

/** What is traced as one: the records of a batch, or what a source gives between two commits. */
export interface TracedWork {
  readonly task: string
  /** Topic and partition of what is read; of a source `undefined`. */
  readonly topic: string | undefined
  readonly partition: number | undefined
  /** Headers of the records that are read: the spans in which they were made. */
  readonly headers: readonly Headers[]
}

export interface TracedSpan {
  /** For everything that is written in it. */
  readonly headers: Headers
  /** Calls handlers within it: spans that they start are below it. */
  within<Result>(call: () => Result): Result
  end(error?: unknown): void
}

/** Carries a trace from hop to hop, in the headers of the records. `tidemark/opentelemetry` has one. */
export interface Tracing {
  begin(work: TracedWork): TracedSpan
  /** For a record of a plain producer: the span in which it is sent, if there is one. */
  current(): Headers | undefined
}
