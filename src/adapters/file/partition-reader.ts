import { abortedError } from '../../core/environment.ts'
import type { RawRecord } from '../../core/record.ts'
import { Signal } from '../../core/signal.ts'
import type { PartitionReader, PartitionReaderOptions, ReceiveOptions } from '../../spec/index.ts'
import type { FileConnection } from './client.ts'
import { Cursor } from './cursor.ts'
import { closedError } from './errors.ts'
import { readBytes } from './rotation.ts'

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
    this.#cursor = new Cursor(
      connection,
      connection.snapshot(() => connection.topic(topic)),
      partition
    )
    this.#cursor.seek(from)
    this.#maxBytes = Math.min(maxBytes, readBytes)
    this.#signal = new Signal(connection.environment)
    this.#stopListening = connection.news.listen(() => this.#signal.raise())
  }

  async receive({
    wait,
    signal
  }: ReceiveOptions): Promise<{ readonly records: readonly RawRecord[]; readonly atEnd: boolean }> {
    const { environment } = this.#connection
    const deadline = environment.monotonic() + wait
    await this.#connection.breathe()
    for (;;) {
      if (this.#closed || this.#connection.closed) throw closedError('reader')
      if (signal?.aborted) throw abortedError(signal)
      const { records, behind } = this.#connection.snapshot(() => this.#cursor.read(this.#maxBytes))
      const left = deadline - environment.monotonic()
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
