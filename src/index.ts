export { Admin, type CreateTopicOptions } from './admin.ts'
export type { Consumer, ConsumerOptions, Producer, ProducerOptions, Receipt } from './broker/index.ts'
export { parkedHeaders } from './broker/index.ts'
export { Client } from './client.ts'
export { connect, type AdapterConfig, type BrokerConfig, type ConnectOptions } from './connect.ts'
export type { Capabilities } from './core/capabilities.ts'
export { bytes, json, number, optional, text, type Codec, type CodecContext, type ValueOf } from './core/codec.ts'
export type { Duration } from './core/duration.ts'
export type { Diagnostics } from './core/diagnostics.ts'
export { systemEnvironment, type Environment, type Timer } from './core/environment.ts'
export { StreamError, type ErrorCode } from './core/errors.ts'
export { partitionOf } from './core/partitioner.ts'
export { headerText, type Entry, type Headers, type Position, type StreamRecord } from './core/record.ts'
export type { RegisteredSchema, SchemaFraming, SchemaId, SchemaReference, SchemaRegistry } from './core/registry.ts'
export { topic, type AnyTopic, type Topic, type TopicOptions } from './core/topic.ts'
export type { TracedSpan, TracedWork, Tracing } from './core/tracing.ts'
export { pipeline, processor, sink, source, when, withheldHeaders } from './pipeline/index.ts'
export type {
  EntryOf,
  FailurePolicy,
  FiredTimer,
  Guarantee,
  Guard,
  Interval,
  Limits,
  Outputs,
  Pipeline,
  PlainWriter,
  ProcessContext,
  ProcessorOptions,
  RecordOf,
  RunOptions,
  SinkContext,
  SinkOptions,
  SinkWriter,
  SourceContext,
  SourceEntry,
  SourceOptions,
  Stage,
  Timeliness,
  Timers,
  TransactionalWriter
} from './pipeline/index.ts'
export type { Adapter, AnyAdapter, StartAt } from './spec/index.ts'
export { keyed, type KeyedDefinition, type KeyedState } from './state/index.ts'
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
