import { abortedError, unlessAborted } from '../../core/environment.ts'
import type { OutgoingRecord } from '../../core/record.ts'
import type { ProducerDriver, SendResult } from '../../spec/producer.ts'
import { closedError, type Connection } from './connection.ts'
import { writeRecords, type WriteOptions } from './produce.ts'

/**
 * The plain producer: no identity at the broker, no retry. Results are per record, because a request carries batches of
 * several partitions and each stands or falls alone.
 */
export class KafkaProducer implements ProducerDriver {
  readonly #options: WriteOptions
  readonly #connection: Connection
  readonly #running = new Set<Promise<unknown>>()
  #closed = false

  constructor(options: WriteOptions) {
    this.#options = options
    this.#connection = options.connection
  }

  send(batch: readonly OutgoingRecord[], signal?: AbortSignal): Promise<readonly SendResult[]> {
    if (this.#closed) return Promise.reject(closedError())
    if (signal?.aborted) return Promise.reject(abortedError(signal))
    const running = this.#write(batch)
    this.#running.add(running)
    const forget = (): void => void this.#running.delete(running)
    running.then(forget, forget)
    return unlessAborted(running, signal)
  }

  async #write(batch: readonly OutgoingRecord[]): Promise<readonly SendResult[]> {
    if (batch.length === 0) return []
    const { results, failure, unanswered } = await writeRecords(batch, this.#options)
    // Nothing is known of any record: said by rejecting.
    if (unanswered && failure) throw failure
    return results
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await Promise.allSettled(this.#running)
    await this.#connection.close()
  }
}
