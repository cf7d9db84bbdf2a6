import { abortedError } from '../../core/environment.ts'
import type { RawRecord } from '../../core/record.ts'
import type { PartitionReader, PartitionReaderOptions, ReceiveOptions } from '../../spec/index.ts'
import type { FileConnection } from './client.ts'
import { Cursor } from './cursor.ts'
import { closedError } from './errors.ts'
import { Signal } from '../../core/signal.ts'

/** Reads one partition without a group. */
export class FilePartitionReader implements PartitionReader {
  readonly #connection: FileConnection
  readonly #cursor: Cursor
  readonly #maxBytes: number
  readonly #signal: Signal
  readonly #stopListening: () => void
  #closed = false

  /** Throws `unknown-topic`, `position-lost`. */
  constructor(connection: FileConnection, { topic, partition, from, maxBytes }: PartitionReaderOptions) {
    this.#connection = connection
    this.#cursor = new Cursor(connection, topic, partition)
    this.#cursor.seek(from)
    this.#maxBytes = Math.min(maxBytes, 1024 * 1024)
    this.#signal = new Signal(connection.environment)
    this.#stopListening = connection.onChange(() => this.#signal.raise())
  }

  async receive({ wait, signal }: ReceiveOptions): Promise<{ readonly records: readonly RawRecord[]; readonly atEnd: boolean }> {
    const deadline = this.#connection.environment.monotonic() + wait
    for (;;) {
      if (this.#closed || this.#connection.closed) throw closedError('reader')
      if (signal?.aborted) throw abortedError(signal)
      const { records, behind } = this.#cursor.read(this.#maxBytes)
      const left = deadline - this.#connection.environment.monotonic()
      if (records.length > 0 || left <= 0) return { records, atEnd: behind === 0 }
      await this.#signal.wait(left, signal)
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#stopListening()
    this.#signal.raise()
  }
}
