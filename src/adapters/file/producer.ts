import type { OutgoingRecord } from '../../core/record.ts'
import type { ProducerDriver, SendResult } from '../../spec/index.ts'
import type { Appender } from './appender.ts'
import { closedError } from './errors.ts'

/** Appends batches, together with those of the other producers. */
export class FileProducer implements ProducerDriver {
  readonly #appender: Appender
  readonly #inFlight = new Set<Promise<unknown>>()
  #closed = false

  constructor(appender: Appender) {
    this.#appender = appender
  }

  send(batch: readonly OutgoingRecord[], signal?: AbortSignal): Promise<readonly SendResult[]> {
    if (this.#closed) return Promise.reject(closedError('producer'))
    if (batch.length === 0) return Promise.resolve([])
    const sending = this.#appender.append(batch, signal)
    this.#inFlight.add(sending)
    const forget = (): void => void this.#inFlight.delete(sending)
    sending.then(forget, forget)
    return sending
  }

  /** Waits for what was sent. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.allSettled(this.#inFlight)
  }
}
