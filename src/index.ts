export { Admin, type CreateTopicOptions } from './admin.ts'
export type { Consumer, ConsumerOptions, Producer, ProducerOptions, Receipt } from './broker/index.ts'
export { parkedHeaders } from './broker/index.ts'
export { Client } from './client.ts'
export { connect, type AdapterConfig, type BrokerConfig, type ConnectOptions } from './connect.ts'
export type { Capabilities } from './core/capabilities.ts'
export { bytes, json, number, optional, text, type Codec, type CodecContext, type ValueOf } from './core/codec.ts'
export type { Duration } from './core/duration.ts'
export type { Diagnostics } from './core/diagnostics.ts'
export {
  healthFetch,
  healthListener,
  type HasHealth,
  type HealthProblem,
  type HealthReport,
  type RunPhase,
  type RunState
} from './health/index.ts'
export { systemEnvironment, type Environment, type Timer } from './core/environment.ts'
export { StreamError, type ErrorCode } from './core/errors.ts'
export { FatalError, PoisonError, RetryableError, type FailureKind, type RetryableOptions } from './core/failure.ts'
export { partitionOf } from './core/partitioner.ts'
export { headerText, type Entry, type Headers, type Position, type StreamRecord } from './core/record.ts'
export type {
  RegisteredSchema,
  SchemaFraming,
  SchemaHeaders,
  SchemaId,
  SchemaReference,
  SchemaRegistry
} from './core/registry.ts'
export { examine, type DoctorConfig, type Finding, type Severity } from './doctor/index.ts'
export { topic, type AnyTopic, type Estimate, type GapPolicy, type Topic, type TopicOptions } from './core/topic.ts'
export type { TracedSpan, TracedWork, Tracing } from './core/tracing.ts'
export {
  failed,
  pipeline,
  processor,
  shadow,
  shadowTopic,
  sink,
  source,
  when,
  withheldHeaders
} from './pipeline/index.ts'
export type {
  BatchContext,
  BatchLimits,
  BatchProcessorOptions,
  BatchResult,
  CircuitOptions,
  CompareOptions,
  Comparison,
  Difference,
  EntryOf,
  ErrorMatch,
  Failed,
  FailedWrite,
  FailurePolicy,
  FiredTimer,
  Guarantee,
  Guard,
  Interval,
  Limits,
  Outputs,
  ParkedRecord,
  Pipeline,
  PlainWriter,
  ProcessContext,
  ProcessorOptions,
  RateLimit,
  RecordOf,
  RedriveOptions,
  RedriveProgress,
  ReplayFrom,
  ReplayOptions,
  Rewound,
  RunOptions,
  ShadowOptions,
  SinkContext,
  SinkOptions,
  SinkWriter,
  SkipRange,
  SourceContext,
  SourceEntry,
  SourceOptions,
  Stage,
  Timeliness,
  Timers,
  TransactionalWriter,
  WriteOutcome
} from './pipeline/index.ts'
export type { Adapter, AnyAdapter, StartAt } from './spec/index.ts'
export { keyed, type KeyedDefinition, type KeyedOptions, type KeyedState } from './state/index.ts'
export { aggregate, hopping, intervalJoin, session, tableJoin, tumbling } from './windows/index.ts'
export type {
  AggregateOptions,
  Early,
  FixedWindowing,
  HoppingOptions,
  IntervalJoinOptions,
  Joined,
  JoinType,
  Pane,
  SessionWindowing,
  TableJoinOptions,
  TumblingOptions,
  Window,
  Windowing
} from './windows/index.ts'
