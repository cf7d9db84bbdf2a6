export { Alignment, alignmentPatience } from './alignment.ts'
export { Backlog } from './backlog.ts'
export { Clocks } from './clocks.ts'
export { FailureRate } from './failure-rate.ts'
export { decodeHealth } from './decode-health.ts'
export {
  diagnoseInputs,
  type Cause,
  type Diagnosis,
  type Health,
  type HealthInput,
  type Holder,
  type Moment,
  type ReportedHealth,
  type StageHealth
} from './health.ts'
export { isOverdue, patience, stageOf } from './overdue.ts'
export { round, silence, TopicMembership, type Member } from './membership.ts'
export { PartitionTracker, type TrackerSnapshot, type Verdict } from './partition-tracker.ts'
export { fromSnapshot, ProducerProgress, toSnapshot, type TimeSnapshot } from './producer-progress.ts'
export { decodeTally, mostSpans, Tally, type TallySnapshot } from './tally.ts'
export {
  ailments,
  findTroubles,
  skewed,
  tellingShare,
  tolerableSkew,
  TroubleBook,
  type Ailment,
  type Finding,
  type Signs,
  type Trouble
} from './troubles.ts'
export { decodeVitals, encodeVitals, fates, newest, noCounts, vitalsTopic } from './vitals.ts'
export {
  decodeVitalsMessage,
  encodeQuestion,
  encodeRepeated,
  encodeReports,
  type HeardVitals,
  type VitalsMessage
} from './vitals-message.ts'
export type { Counts, InputVitals, OutputVitals, Vitals, VitalsState } from './vitals.ts'
