import { adminCases } from './admin.ts'
import { declaredCases } from './declared.ts'
import { durabilityCases } from './durability.ts'
import { failureCases } from './failures.ts'
import { flowCases } from './flow.ts'
import { membershipCases } from './membership.ts'
import { orderCases } from './order.ts'
import { partitionReaderCases } from './partition-reader.ts'
import { pipelineCases } from './pipelines/cases.ts'
import { retryCases } from './pipelines/retries.ts'
import { schemaCases } from './pipelines/schemas.ts'
import { watermarkCases } from './pipelines/watermarks.ts'
import { positionCases } from './positions.ts'
import { queueCases } from './queue.ts'
import { queueRecordCases } from './queue-records.ts'
import { recordCases } from './records.ts'
import { seekCases } from './seek.ts'
import { transactionCases } from './transactions.ts'
import type { ConformanceCase } from './types.ts'

/** What every adapter must do, as far as it declares that it can. */
export const conformanceCases: readonly ConformanceCase[] = [
  ...declaredCases,
  ...adminCases,
  ...recordCases,
  ...orderCases,
  ...partitionReaderCases,
  ...positionCases,
  ...seekCases,
  ...flowCases,
  ...membershipCases,
  ...queueRecordCases,
  ...queueCases,
  ...transactionCases,
  ...failureCases,
  ...durabilityCases,
  ...pipelineCases,
  ...retryCases,
  ...schemaCases,
  ...watermarkCases
]
