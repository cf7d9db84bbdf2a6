import { logLeases, logOrdered, lossyLog, transactionalRelay, transactionLog } from './log.ts'
import type { Personality } from './personality.ts'
import { queueUnordered } from './queue.ts'

/** Name -> a new broker of that kind. */
export const personalities: Readonly<Record<string, () => Personality>> = {
  'log-ordered': logOrdered,
  'log-leases': logLeases,
  'queue-unordered': queueUnordered,
  'txn-log': transactionLog,
  'txn-relay': transactionalRelay,
  'lossy-log': lossyLog
}
