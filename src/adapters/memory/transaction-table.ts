import type { TransactionBatch } from '../../spec/index.ts'
import type { MemoryBroker } from './broker.ts'
import type { PartitionLog } from './partition-log.ts'

interface OpenTransaction {
  readonly batch: TransactionBatch
  readonly logs: ReadonlySet<PartitionLog>
  /** How the next producer of the id ends it. */
  readonly end: 'committed' | 'aborted'
}

/** Who may write under which id, and the transactions that a fault left open. */
export class TransactionTable {
  readonly #broker: MemoryBroker
  readonly #epochs = new Map<string, number>()
  readonly #open = new Map<string, OpenTransaction>()

  constructor(broker: MemoryBroker) {
    this.#broker = broker
  }

  /** A new epoch of the id: fences all earlier ones, then ends what they left open. */
  begin(id: string): number {
    const epoch = (this.#epochs.get(id) ?? 0) + 1
    this.#epochs.set(id, epoch)
    const open = this.#open.get(id)
    if (open) {
      this.#open.delete(id)
      for (const log of open.logs) log.openTransactions--
      if (open.end === 'committed') this.#apply(open.batch)
      for (const log of open.logs) log.wake()
    }
    return epoch
  }

  isFenced(id: string, epoch: number): boolean {
    return this.#epochs.get(id) !== epoch
  }

  /** All of the batch at once. Throws, with no effect, when a topic is missing. */
  commit(batch: TransactionBatch): void {
    this.#apply(batch)
  }

  leaveOpen(id: string, batch: TransactionBatch, end: 'committed' | 'aborted'): void {
    const logs = new Set(batch.records.map(record => this.#broker.log(record)))
    for (const log of logs) log.openTransactions++
    this.#open.set(id, { batch, logs, end })
  }

  #apply({ records, offsets }: TransactionBatch): void {
    this.#broker.appendAll(records)
    if (offsets) this.#broker.group(offsets.group).store(offsets.positions)
  }
}
