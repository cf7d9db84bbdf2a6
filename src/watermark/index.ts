export { Backlog } from './backlog.ts'
export { FailureRate } from './failure-rate.ts'
export {
  diagnoseInputs,
  stageOf,
  type Cause,
  type Diagnosis,
  type Health,
  type HealthInput,
  type Holder,
  type ReportedHealth,
  type StageHealth
} from './health.ts'
export { silence, TopicMembership, type Member } from './membership.ts'
export { PartitionTracker, type TrackerSnapshot, type Verdict } from './partition-tracker.ts'
export { fromSnapshot, toSnapshot, type TimeSnapshot } from './producer-progress.ts'
export { decodeVitals, encodeVitals, noCounts, vitalsTopic } from './vitals.ts'
export {
  decodeVitalsMessage,
  encodeQuestion,
  encodeRepeated,
  encodeReports,
  type HeardVitals,
  type VitalsMessage
} from './vitals-message.ts'
export type { Counts, OutputVitals, Vitals, VitalsState } from './vitals.ts'
