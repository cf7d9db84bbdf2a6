import type { FencedProducer, TransactionBatch, TransactionDriver, TransactionOutcome } from '../../spec/index.ts'
import type { MemoryConnection } from './connection.ts'
import { closedError } from './errors.ts'
import { failureOf, type TransactionFault } from './faults.ts'

type Ended = { readonly outcome: TransactionOutcome; readonly error?: unknown }

export class MemoryTransactions implements TransactionDriver {
  readonly #connection: MemoryConnection

  constructor(connection: MemoryConnection) {
    this.#connection = connection
  }

  producer(id: string): Promise<FencedProducer> {
    const { broker, client, environment } = this.#connection
    return broker.faults.run({ operation: 'transaction-init', client, id }, environment, () => {
      if (this.#connection.closed) throw closedError('adapter')
      return new MemoryFencedProducer(this.#connection, id, broker.transactions.begin(id))
    })
  }
}

class MemoryFencedProducer implements FencedProducer {
  readonly #connection: MemoryConnection
  readonly #id: string
  readonly #epoch: number
  #closed = false

  constructor(connection: MemoryConnection, id: string, epoch: number) {
    this.#connection = connection
    this.#id = id
    this.#epoch = epoch
  }

  async commit(batch: TransactionBatch): Promise<Ended> {
    this.#assertOpen()
    const { broker, environment } = this.#connection
    if (!broker.faults.quiet) return this.#commitDisturbed(batch)
    const turn = broker.breathe(environment)
    if (turn) await turn
    return this.#end(batch)
  }

  close(): Promise<void> {
    this.#closed = true
    return Promise.resolve()
  }

  #assertOpen(): void {
    if (this.#closed || this.#connection.closed) throw closedError(`producer '${this.#id}'`)
  }

  #end(batch: TransactionBatch): Ended {
    const { transactions } = this.#connection.broker
    if (transactions.isFenced(this.#id, this.#epoch)) return { outcome: 'fenced' }
    try {
      transactions.commit(batch)
      return { outcome: 'committed' }
    } catch (error) {
      return { outcome: 'aborted', error }
    }
  }

  async #commitDisturbed(batch: TransactionBatch): Promise<Ended> {
    const { broker, environment, client } = this.#connection
    const rule = broker.faults.take({ operation: 'transaction', client, id: this.#id })
    try {
      await broker.faults.before(rule, client, environment)
    } catch (error) {
      // Cut off before the effect; the caller cannot know that.
      return { outcome: 'unknown', error }
    }
    if (rule?.transaction) return this.#endAsOrdered(batch, rule.transaction)
    if (rule?.failure?.when === 'after') this.#end(batch)
    if (rule?.failure) return { outcome: 'unknown', error: failureOf(rule.failure) }
    return this.#end(batch)
  }

  #endAsOrdered(batch: TransactionBatch, fault: TransactionFault): Ended {
    const { transactions } = this.#connection.broker
    if (transactions.isFenced(this.#id, this.#epoch)) return { outcome: 'fenced' }
    if (fault.effect === 'committed') transactions.commit(batch)
    if (fault.effect === 'open-committed') transactions.leaveOpen(this.#id, batch, 'committed')
    if (fault.effect === 'open-aborted') transactions.leaveOpen(this.#id, batch, 'aborted')
    return { outcome: fault.outcome ?? 'unknown', error: failureOf(fault) }
  }
}
