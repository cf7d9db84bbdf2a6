import { abortedError } from '../../core/environment.ts'
import type { RawRecord } from '../../core/record.ts'
import type { PartitionReader, PartitionReaderOptions, ReceiveOptions } from '../../spec/index.ts'
import type { MemoryConnection } from './connection.ts'
import { closedError } from './errors.ts'
import { failureOf } from './faults.ts'
import type { PartitionLog } from './partition-log.ts'
import { Waiter } from './waiters.ts'

type Batch = { readonly records: readonly RawRecord[]; readonly atEnd: boolean }

export class MemoryPartitionReader implements PartitionReader {
  readonly #connection: MemoryConnection
  readonly #maxBytes: number
  readonly #log: PartitionLog
  readonly #waiter = new Waiter()
  readonly #stopListening: () => void
  #next: number
  /** The end was reached and told. */
  #toldEnd = false
  #closed = false

  /** Throws `unknown-topic`, `position-lost`. */
  constructor(connection: MemoryConnection, { topic, partition, from, maxBytes }: PartitionReaderOptions) {
    this.#connection = connection
    this.#maxBytes = maxBytes
    this.#log = connection.broker.log({ topic, partition })
    this.#next = this.#log.offsetOf(from)
    this.#log.subscribe(this.#waiter)
    this.#stopListening = connection.broker.faults.onDisconnect(() => this.#waiter.wake())
  }

  async receive({ wait, signal }: ReceiveOptions): Promise<Batch> {
    if (signal?.aborted) throw abortedError(signal)
    const { broker, client, environment } = this.#connection
    this.#assertOpen()
    if (!broker.faults.quiet) {
      const { topic, partition } = this.#log
      const rule = broker.faults.take({ operation: 'read-partition', client, topic, partition })
      await broker.faults.before(rule, client, environment, signal)
      if (rule?.failure) throw failureOf(rule.failure)
    }
    const turn = broker.breathe(environment)
    if (turn) await turn
    const deadline = environment.monotonic() + wait
    for (;;) {
      this.#assertOpen()
      broker.faults.assertConnected(client)
      const batch = this.#read()
      // Reaching the end is news, even without records: who reads a changelog need not wait for it.
      const isNews = batch.records.length > 0 || (batch.atEnd && !this.#toldEnd)
      const left = deadline - environment.monotonic()
      if (isNews || left <= 0) {
        this.#toldEnd = batch.atEnd
        return batch
      }
      this.#toldEnd = batch.atEnd
      await this.#waiter.wait(environment, left, signal)
    }
  }

  close(): Promise<void> {
    this.#closed = true
    this.#stopListening()
    this.#log.unsubscribe(this.#waiter)
    this.#waiter.wake()
    return Promise.resolve()
  }

  #read(): Batch {
    const { records } = this.#log.slice(this.#next, this.#maxBytes, true)
    this.#next = Math.max(this.#next, this.#log.start) + records.length
    return { records, atEnd: this.#next >= this.#log.end && this.#log.openTransactions === 0 }
  }

  #assertOpen(): void {
    if (this.#closed || this.#connection.closed) throw closedError('partition reader')
  }
}
