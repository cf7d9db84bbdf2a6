import { abortedError } from '../../core/environment.ts'
import { messageOf } from '../../core/errors.ts'
import type { OutgoingRecord } from '../../core/record.ts'
import type { SendResult } from '../../spec/index.ts'
import type { FileConnection } from './client.ts'
import type { Compactor } from './compaction.ts'
import { classify, fileError } from './errors.ts'
import { encodeBatch, storedSize } from './records.ts'
import { expire } from './retention.ts'

/** Bytes of one row, unless a single record is larger: readers hold a row as a whole. */
export const rowBytes: number = 1024 * 1024

/** Bytes of one transaction, about: others wait for it. */
const transactionBytes = 16 * 1024 * 1024

interface Row {
  readonly count: number
  readonly newest: number
  readonly data: Buffer
}

/** What a batch has for one partition: encoded, before any lock is taken. */
interface Part {
  readonly topic: string
  readonly partition: number
  /** Places in the batch. */
  readonly indexes: readonly number[]
  readonly rows: readonly Row[]
  /** A record that cannot be stored, the first of them; it and what follows are not in the rows. */
  readonly refused: { readonly at: number; readonly error: unknown } | undefined
}

interface Request {
  readonly count: number
  readonly parts: readonly Part[]
  readonly bytes: number
  readonly resolve: (results: readonly SendResult[]) => void
  readonly reject: (error: unknown) => void
}

/**
 * Writes the batches of all producers of a connection: a row per partition, not per record. What is sent in one turn of
 * the event loop, or while another process writes, shares one transaction, and so one sync of the disk.
 */
export class Appender {
  readonly #connection: FileConnection
  readonly #compactor: Compactor
  #queue: Request[] = []
  #flushing = false

  constructor(connection: FileConnection, compactor: Compactor) {
    this.#connection = connection
    this.#compactor = compactor
  }

  append(batch: readonly OutgoingRecord[], signal?: AbortSignal): Promise<readonly SendResult[]> {
    if (signal?.aborted) return Promise.reject(abortedError(signal))
    const parts = encode(batch)
    return new Promise((resolve, reject) => {
      const bytes = parts.reduce((sum, { rows }) => rows.reduce((size, { data }) => size + data.length, sum), 0)
      const onAbort = (): void => {
        // Once it is taken it is all but written.
        if (!this.#queue.includes(request)) return
        this.#queue = this.#queue.filter(other => other !== request)
        reject(abortedError(signal))
      }
      const settled = <Value>(settle: (value: Value) => void): ((value: Value) => void) => {
        return value => {
          signal?.removeEventListener('abort', onAbort)
          settle(value)
        }
      }
      const request = { count: batch.length, parts, bytes, resolve: settled(resolve), reject: settled(reject) }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#queue.push(request)
      if (!this.#flushing) void this.#flush()
    })
  }

  async #flush(): Promise<void> {
    this.#flushing = true
    while (this.#queue.length > 0) {
      await this.#connection.environment.turn()
      let taken: Request[] = []
      try {
        // Taken inside: what came while the lock was held elsewhere goes with it.
        const results = await this.#connection.transaction(() => {
          taken = this.#take()
          return taken.map(request => this.#write(request))
        })
        for (const [index, request] of taken.entries()) request.resolve(results[index]!)
        this.#connection.news.tell()
      } catch (error) {
        for (const request of taken.length > 0 ? taken : this.#queue.splice(0)) request.reject(error)
      }
    }
    this.#flushing = false
  }

  #take(): Request[] {
    let bytes = 0
    const enough = this.#queue.findIndex(request => (bytes += request.bytes) > transactionBytes)
    return this.#queue.splice(0, enough < 0 ? this.#queue.length : Math.max(1, enough))
  }

  /** Records of a topic or partition that is not there fail; the others are written. */
  #write({ count, parts }: Request): SendResult[] {
    const results = new Array<SendResult>(count)
    for (const { topic, partition, indexes, rows, refused } of parts) {
      let offset = 0
      let stored = refused?.at ?? indexes.length
      let failure = refused?.error
      try {
        if (stored > 0) offset = this.#writeRows(topic, partition, rows)
      } catch (error) {
        // Anything but a missing topic is the end of the whole transaction: SQLite may have rolled it back.
        if (classify(error).code !== 'unknown-topic') throw error
        stored = 0
        failure = error
      }
      for (const [at, index] of indexes.entries())
        results[index] = at < stored ? { ok: true, position: String(offset + at) } : { ok: false, error: failure }
    }
    return results
  }

  /** Returns the offset of the first record. */
  #writeRows(name: string, partition: number, rows: readonly Row[]): number {
    const connection = this.#connection
    const { sql, environment } = connection
    const topic = connection.topic(name)
    const { next } = connection.ends(topic, partition)
    const now = environment.now()
    let offset = next
    let bytes = 0
    for (const { count, newest, data } of rows) {
      sql.append.run(topic.id, partition, offset, offset + count - 1, newest, now, data.length, data)
      offset += count
      bytes += data.length
    }
    sql.advance.run(offset, bytes, bytes, topic.id, partition)
    expire(connection, topic, partition)
    if (topic.compacted) this.#compactor.consider(topic, partition)
    return next
  }
}

function encode(batch: readonly OutgoingRecord[]): Part[] {
  const places = new Map<string, number[]>()
  let last: OutgoingRecord | undefined
  let indexes: number[] = []
  for (let index = 0; index < batch.length; index++) {
    const record = batch[index]!
    if (last?.partition !== record.partition || last.topic !== record.topic) {
      const place = `${record.partition} ${record.topic}`
      const known = places.get(place)
      indexes = known ?? []
      if (!known) places.set(place, indexes)
      last = record
    }
    indexes.push(index)
  }
  return Array.from(places.values(), place => encodePart(batch, place))
}

function encodePart(batch: readonly OutgoingRecord[], indexes: readonly number[]): Part {
  const { topic, partition } = batch[indexes[0]!]!
  const rows: Row[] = []
  let records: OutgoingRecord[] = []
  let size = 0
  const finish = (): void => {
    if (records.length === 0) return
    const newest = records.reduce((time, record) => Math.max(time, record.timestamp), -Infinity)
    rows.push({ count: records.length, newest, data: encodeBatch(records, size, index => index) })
    records = []
    size = 0
  }
  let refused: Part['refused']
  for (const [at, index] of indexes.entries()) {
    const record = batch[index]!
    try {
      const bytes = storedSize(record)
      if (size + bytes > rowBytes) finish()
      records.push(record)
      size += bytes
    } catch (error) {
      refused = { at, error: refusal(error, topic, partition) }
      break
    }
  }
  finish()
  return { topic, partition, indexes, rows, refused }
}

function refusal(error: unknown, topic: string, partition: number): Error {
  const what = `a record for '${topic}' partition ${partition} cannot be stored`
  return fileError(classify(error).code, `${what}: ${messageOf(error)}`, false, error)
}
