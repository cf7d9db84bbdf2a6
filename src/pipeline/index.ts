export { keyed } from '../state/index.ts'
export { pipeline, processor, sink, source } from './definitions.ts'
export { failed } from './batch-options.ts'
export type { BatchContext, BatchLimits, BatchProcessorOptions, BatchResult, Failed } from './batch-options.ts'
export type { CircuitOptions } from './circuit.ts'
export type { ErrorMatch, FailurePolicy } from './failure-policy.ts'
export type {
  Pipeline,
  ProcessorStage,
  SinkOptions,
  SinkStage,
  SourceContext,
  SourceEntry,
  SourceOptions,
  SourceStage,
  Stage,
  WatermarkClaim,
  WriteFunction
} from './definitions.ts'
export type { Interval, ProcessContext, Timeliness, Timers } from './process-context.ts'
export type { EntryOf, Outputs, RecordOf, Topics, KeyOf, PayloadOf, SideTopic } from './topic-types.ts'
export type { FiredTimer, ProcessorOptions } from './processor-options.ts'
export { when, withheldHeaders, type Guard, type GuardOptions, type Limits } from './guard.ts'
export { groupPositions } from './group-positions.ts'
export { groupName } from './identity.ts'
export { openGroupReader } from './leased-reader.ts'
export { assertStore, openStore, type ClientStore } from './open-store.ts'
export { producerReports } from './producer-reports.ts'
export type { ParkedRecord } from './parked-records.ts'
export type { RateLimit } from './rate-limit.ts'
export { redrive, type RedriveOptions, type RedriveProgress } from './redrive.ts'
export { relayedTopic } from './relay-marker.ts'
export { compare, type CompareOptions, type Comparison, type Difference } from './replay/compare.ts'
export type { ReplayFrom, ReplayOptions, Rewound, SkipRange } from './replay/options.ts'
export { replay } from './replay/replay.ts'
export { shadow, shadowTopic, type ShadowOptions } from './replay/shadow.ts'
export { runPipeline, type RunHost } from './run.ts'
export { defaultSettings, runSettings, type Guarantee, type RunOptions, type RunSettings } from './settings.ts'
export type {
  FailedWrite,
  SinkContext,
  OpenPlainWriter,
  OpenTransactionalWriter,
  PlainWriter,
  SinkWriter,
  TransactionalWriter,
  WriteOutcome
} from './sink-writer.ts'
export { ensureGroup, ensureParked, ensureTopic, parkedGroup, resolveTopic, type TopicResolver } from './topics.ts'
export { VitalsPublisher } from './vitals-publisher.ts'
export { VitalsView } from './vitals-view.ts'
export { vitalsTopic } from '../watermark/index.ts'
