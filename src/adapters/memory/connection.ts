import type { Environment } from '../../core/environment.ts'
import type { MemoryBroker } from './broker.ts'

/** What the drivers of one adapter share. */
export interface MemoryConnection {
  readonly broker: MemoryBroker
  readonly client: string
  readonly environment: Environment
  /** The adapter is closed, and with it all its drivers. */
  readonly closed: boolean
}
