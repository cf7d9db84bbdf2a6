export { memory, MemoryBroker, MemoryFaults } from '../adapters/memory/index.ts'
export type {
  FailureFault,
  FaultOperation,
  FaultTarget,
  HeldCall,
  MemoryAdapter,
  MemoryOptions,
  TransactionFault
} from '../adapters/memory/index.ts'
export {
  checkHistory,
  type Anomaly,
  type FoundAnomaly,
  type History,
  type HistoryVerdict,
  type Identity,
  type Place,
  type SeenEffect,
  type SentRecord
} from './check-history.ts'
export { adapterConformance, conformanceCases, runConformance, titleOf } from './conformance/index.ts'
export type {
  CaseResult,
  ConformanceCase,
  Harness,
  HarnessTraits,
  RunOptions,
  TestRunner
} from './conformance/index.ts'
export { drive, type Driven, type DriveOptions, type StageCounts } from './drive.ts'
export { crash, elapse, type Crash, type DriveItem, type Elapse } from './drive-input.ts'
export type { ParkedRecord } from './drive-output.ts'
export { SimulatedEnvironment, type SimulationOptions } from './simulated-environment.ts'
