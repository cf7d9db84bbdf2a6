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
export { adapterConformance, conformanceCases, runConformance, titleOf } from './conformance/index.ts'
export type {
  CaseResult,
  ConformanceCase,
  Harness,
  HarnessTraits,
  RunOptions,
  TestRunner
} from './conformance/index.ts'
