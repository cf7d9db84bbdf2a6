import { abortedError } from '../../core/environment.ts'
import type { OutgoingRecord } from '../../core/record.ts'
import type { ProducerDriver, SendResult } from '../../spec/producer.ts'
import { maxRequest } from './capabilities.ts'
import type { OutgoingMessage } from './client.ts'
import type { Connection } from './connection.ts'
import { closedError } from './errors.ts'
import { topicPath } from './names.ts'
import { toMessage } from './records.ts'

/** Most messages of one request. */
const mostMessages = 1000

export interface ProducerContext {
  readonly connection: Connection
  /** Do messages of this topic carry their partition as ordering key? */
  readonly isOrdered: (topic: string) => boolean
}

/** What one request takes: indexes of the batch and their messages. */
interface Request {
  readonly indexes: number[]
  readonly messages: OutgoingMessage[]
  bytes: number
}

/** Publishes batches: the topics side by side, the requests of a topic one after the other. */
export class PubsubProducer implements ProducerDriver {
  readonly #context: ProducerContext
  readonly #inFlight = new Set<Promise<unknown>>()
  #closed = false

  constructor(context: ProducerContext) {
    this.#context = context
  }

  send(batch: readonly OutgoingRecord[], signal?: AbortSignal): Promise<readonly SendResult[]> {
    if (this.#closed) return Promise.reject(closedError('producer'))
    if (signal?.aborted) return Promise.reject(abortedError(signal))
    const sending = this.#send(batch, signal)
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

  async #send(batch: readonly OutgoingRecord[], signal: AbortSignal | undefined): Promise<readonly SendResult[]> {
    const results: SendResult[] = new Array(batch.length)
    const topics = new Map<string, number[]>()
    for (const [index, { topic }] of batch.entries()) {
      const indexes = topics.get(topic)
      if (indexes) indexes.push(index)
      else topics.set(topic, [index])
    }
    const sending = [...topics].flatMap(([topic, indexes]) =>
      // One request takes one ordering key.
      this.#context.isOrdered(topic)
        ? [...Map.groupBy(indexes, index => batch[index]!.partition).values()].map(part =>
            this.#topic(topic, batch, part, true, results, signal)
          )
        : [this.#topic(topic, batch, indexes, false, results, signal)]
    )
    await Promise.all(sending)
    return results
  }

  async #topic(
    topic: string,
    batch: readonly OutgoingRecord[],
    indexes: readonly number[],
    ordered: boolean,
    results: SendResult[],
    signal: AbortSignal | undefined
  ): Promise<void> {
    /** Partitions with a record that failed: nothing after it is written. */
    const failed = new Map<number, unknown>()
    for (const request of cut(batch, indexes, ordered, results)) {
      const { indexes: taken, messages } = withoutFailed(request, batch, results, failed)
      if (messages.length === 0) continue
      try {
        const { connection } = this.#context
        const [{ messageIds }] = await connection.publisher(
          api => api.publish,
          { topic: topicPath(connection.project, topic), messages },
          signal
        )
        for (const [place, index] of taken.entries()) results[index] = { ok: true, position: messageIds[place] }
      } catch (error) {
        // Nothing is known of the rest of an aborted call; a batch of its own tells.
        for (const index of taken) {
          results[index] = { ok: false, error }
          failed.set(batch[index]!.partition, error)
        }
      }
    }
    if (signal?.aborted) throw abortedError(signal)
  }
}

/** Cuts what goes to one topic into requests. A record that none takes has failed, and so have those after it in its partition. */
function cut(
  batch: readonly OutgoingRecord[],
  indexes: readonly number[],
  ordered: boolean,
  results: SendResult[]
): readonly Request[] {
  const failed = new Map<number, unknown>()
  const requests: Request[] = []
  let last: Request | undefined
  for (const index of indexes) {
    const record = batch[index]!
    if (failed.has(record.partition)) {
      results[index] = { ok: false, error: failed.get(record.partition) }
      continue
    }
    try {
      const { message, bytes } = toMessage(record, ordered ? String(record.partition) : undefined)
      if (!last || last.messages.length === mostMessages || last.bytes + bytes > maxRequest)
        requests.push((last = { indexes: [], messages: [], bytes: record.topic.length + 128 }))
      last.indexes.push(index)
      last.messages.push(message)
      last.bytes += bytes
    } catch (error) {
      results[index] = { ok: false, error }
      failed.set(record.partition, error)
    }
  }
  return requests
}

function withoutFailed(
  request: Request,
  batch: readonly OutgoingRecord[],
  results: SendResult[],
  failed: ReadonlyMap<number, unknown>
): Request {
  if (failed.size === 0) return request
  const kept: Request = { indexes: [], messages: [], bytes: 0 }
  for (const [place, index] of request.indexes.entries()) {
    const { partition } = batch[index]!
    if (failed.has(partition)) results[index] = { ok: false, error: failed.get(partition) }
    else {
      kept.indexes.push(index)
      kept.messages.push(request.messages[place]!)
    }
  }
  return kept
}
