import { abortedError } from '../../core/environment.ts'
import type { OutgoingRecord } from '../../core/record.ts'
import type { ProducerDriver, SendResult } from '../../spec/index.ts'
import type { FileConnection } from './client.ts'
import { closedError, fileError } from './errors.ts'
import { expire, compact } from './retention.ts'
import { encodeBatch } from './records.ts'

interface Waiting {
  readonly batch: readonly OutgoingRecord[]
  readonly signal: AbortSignal | undefined
  readonly resolve: (results: readonly SendResult[]) => void
  readonly reject: (error: unknown) => void
}

/**
 * Appends batches: a row per partition, not per record. What is sent in one turn of the event loop shares one transaction,
 * and so one sync of the disk.
 */
export class FileProducer implements ProducerDriver {
  readonly #connection: FileConnection
  #waiting: Waiting[] = []
  #flushing: Promise<void> | undefined
  #closed = false

  constructor(connection: FileConnection) {
    this.#connection = connection
  }

  send(batch: readonly OutgoingRecord[], signal?: AbortSignal): Promise<readonly SendResult[]> {
    if (this.#closed || this.#connection.closed) return Promise.reject(closedError('producer'))
    if (signal?.aborted) return Promise.reject(abortedError(signal))
    return new Promise((resolve, reject) => {
      this.#waiting.push({ batch, signal, resolve, reject })
      this.#flushing ??= this.#connection.environment.turn().then(() => this.#flush())
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#flushing
  }

  #flush(): void {
    this.#flushing = undefined
    const waiting = this.#waiting
    this.#waiting = []
    const live = waiting.filter(({ signal, reject }) => {
      if (this.#connection.closed) reject(closedError('producer'))
      else if (signal?.aborted) reject(abortedError(signal))
      else return true
      return false
    })
    if (live.length === 0) return
    try {
      const results = this.#connection.transaction(() => live.map(({ batch }) => append(this.#connection, batch)))
      for (const [index, { resolve }] of live.entries()) resolve(results[index]!)
    } catch (error) {
      for (const { reject } of live) reject(error) // rolled back: nothing is written
    }
    this.#connection.changed()
  }
}

/** Within a transaction. Records of a topic or partition that is not there fail; the others are written. */
function append(connection: FileConnection, batch: readonly OutgoingRecord[]): SendResult[] {
  const results: SendResult[] = new Array(batch.length)
  const places = new Map<string, number[]>()
  for (const [index, { topic, partition }] of batch.entries()) {
    const place = `${partition} ${topic}`
    const indexes = places.get(place)
    if (indexes) indexes.push(index)
    else places.set(place, [index])
  }
  for (const indexes of places.values()) {
    const { topic, partition } = batch[indexes[0]!]!
    try {
      const base = appendTo(connection, topic, partition, indexes.map(index => batch[index]!))
      for (const [count, index] of indexes.entries()) results[index] = { ok: true, position: String(base + count) }
    } catch (error) {
      for (const index of indexes) results[index] = { ok: false, error }
    }
  }
  return results
}

function appendTo(connection: FileConnection, name: string, partition: number, records: readonly OutgoingRecord[]): number {
  const { sql } = connection
  const topic = connection.topic(name)
  const { next } = connection.ends(topic, partition)
  let newest = -Infinity
  for (const record of records) {
    if (record.timestamp > newest) newest = record.timestamp
    const size = (record.key?.byteLength ?? 0) + (record.value?.byteLength ?? 0)
    if (size > maxRecord) throw fileError('too-large', `a record of ${size} bytes for '${name}' is over the limit of ${maxRecord}`)
  }
  const data = encodeBatch(records, index => index)
  sql.append.run(topic.id, partition, next, next + records.length - 1, newest, data)
  sql.advance.run(next + records.length, topic.id, partition)
  if (topic.compacted) compact(connection, topic, partition)
  expire(connection, topic, partition)
  return next
}

const maxRecord = 64 * 1024 * 1024
