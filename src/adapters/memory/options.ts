import type { OptionTable } from '../../core/options.ts'
import type { MemoryBroker } from './broker.ts'
import type { MemoryFaults } from './faults.ts'

export interface MemoryOptions {
  /** Broker of that name, shared by the whole process; absent: a fresh one of its own. */
  readonly name?: string
  /** Who this is, for fault hooks that aim at one client of several. Default: `client-1`, `client-2` ... */
  readonly client?: string
  /** The broker itself, to share it between adapters by value. */
  readonly broker?: MemoryBroker
  /** Fault hooks for a fresh broker; those of a shared one are at `broker.faults`. */
  readonly faults?: MemoryFaults
}

export const memoryOptions: OptionTable = {
  name: { kind: 'string', doc: 'Broker of that name, shared by the whole process. Absent: a fresh one.' },
  client: { kind: 'string', doc: 'Who this is, for fault hooks that aim at one client of several.' },
  broker: { kind: 'any', doc: 'A memory broker, to share it between adapters by value.' },
  faults: { kind: 'any', doc: 'Fault hooks for a fresh broker.' }
}
