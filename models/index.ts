import { commitModels } from './commit/index.ts'
import { dedupeModels } from './dedupe/index.ts'
import { leaseModels } from './leases/index.ts'
import type { Model } from './model.ts'
import { outboxModels } from './outbox/index.ts'
import { relayModels } from './relay.ts'
import { shardModels } from './shards/index.ts'
import { standbyModels } from './standby/index.ts'
import { stateModels } from './state/index.ts'
import { transactionModels } from './transactions.ts'
import { watermarkModels } from './watermark/index.ts'
import { joiningModels } from './watermark/joining.ts'

export { check, type Checked, type Model } from './model.ts'

/** All models. What runs in them is the product: its reducers, its trackers, its dedupe. */
export const models: readonly Model[] = [
  ...commitModels,
  ...transactionModels,
  ...outboxModels,
  ...relayModels,
  ...dedupeModels,
  ...shardModels,
  ...leaseModels,
  ...stateModels,
  ...standbyModels,
  ...watermarkModels,
  ...joiningModels
]
