import type { Duration } from '../core/duration.ts'
import type { StateDefinitions } from '../state/index.ts'
import type { FailurePolicy } from './failure-policy.ts'
import type { Guard } from './guard.ts'
import type { Interval, ProcessContext } from './process-context.ts'
import type { RateLimit } from './rate-limit.ts'
import type { KeyOf, Outputs, RecordOf, SideTopic, Topics } from './topic-types.ts'

export interface FiredTimer<Key> {
  readonly key: Key
  readonly time: number
  readonly name: string
}

/** What processors with either kind of handler have. */
export interface ProcessorBase<
  From extends Topics,
  To extends Topics,
  State extends StateDefinitions,
  Risen extends Outputs<To> = Outputs<To>,
  Completed extends Outputs<To> = Outputs<To>
> {
  readonly name: string
  readonly from: From
  readonly to?: To
  readonly failure?: FailurePolicy
  /** How many records are begun within a time, at each worker. Default: as many as there are. */
  readonly rateLimit?: RateLimit
  /** What is not timely enough goes to a side output instead of the handler. */
  readonly guard?: Guard<NoInfer<SideTopic<From>> | undefined>
  /** The watermark of the task has risen. There is no key here, so no keyed state. */
  onWatermark?(watermark: number, context: ProcessContext<State>): Risen
  /** Length of the intervals of `onComplete`; they start at its multiples from 1970-01-01, 00:00 UTC. */
  readonly interval?: Duration
  /**
   * An interval of event time in which this task has had records is complete: the watermark, which counts every hop above, on
   * whatever broker, has reached its end. Each is told once, in order of time, behind the timers that were due by then. Outputs
   * have the last millisecond of the interval by default. There is no key here.
   */
  onComplete?(interval: Interval, context: ProcessContext<State>): Completed
}

/** The last four are what the functions return: inferred, so that the `topic` of an entry need not be written `as const`. */
export interface ProcessorOptions<
  From extends Topics,
  To extends Topics,
  State extends StateDefinitions,
  Processed extends Outputs<To> = Outputs<To>,
  Timed extends Outputs<To> = Outputs<To>,
  Risen extends Outputs<To> = Outputs<To>,
  Completed extends Outputs<To> = Outputs<To>
> extends ProcessorBase<From, To, State, Risen, Completed> {
  readonly state?: State
  /**
   * So many records of one partition may be handled at a time, each of another key: for handlers that wait for something outside.
   * The order of a key is kept, and so are commits, state and outputs, which come in the order of the input. Records without a key
   * count as one key. Default 1.
   */
  readonly concurrency?: number
  process(record: RecordOf<From>, context: ProcessContext<State>): Processed
  /**
   * The watermark has reached a timer. State is that of the timer's key; outputs have the timer's time by default. A timer
   * that fails is tried again as `failure` says, then the run rejects: there is no record to park.
   */
  onTimer?(timer: FiredTimer<KeyOf<From>>, context: ProcessContext<State>): Timed
  /** Instead of `process`, with many records at once: see `BatchProcessorOptions`. */
  readonly processBatch?: undefined
  readonly batch?: undefined
  readonly circuit?: undefined
}
