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
/** Requests for one topic that are under way at once. */
const requestsAtOnce = 8

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

/** Publishes batches: the topics side by side, and the requests of a topic, a few at a time. */
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
    const requests = cut(batch, indexes, ordered, results)
    /** Partition -> the first request that failed, and why. */
    const failed = new Map<number, { readonly request: number; readonly error: unknown }>()
    let next = 0
    const lane = async (): Promise<void> => {
      while (next < requests.length) {
        const number = next++
        const { indexes: taken, messages } = withoutFailed(requests[number]!, batch, failed)
        if (messages.length === 0) continue
        try {
          const ids = await this.#publish(topic, messages, signal)
          for (const [place, index] of taken.entries()) results[index] = { ok: true, position: ids[place] }
        } catch (error) {
          for (const index of taken) {
            const { partition } = batch[index]!
            if ((failed.get(partition)?.request ?? Infinity) > number) failed.set(partition, { request: number, error })
          }
        }
      }
    }
    // One after the other only where there is an order to keep.
    await Promise.all(Array.from({ length: ordered ? 1 : requestsAtOnce }, lane))
    if (signal?.aborted) throw abortedError(signal)
    // What was under way behind a request that failed may be written: it has failed all the same, and comes again.
    for (const [number, { indexes: taken }] of requests.entries())
      for (const index of taken) {
        const failure = failed.get(batch[index]!.partition)
        if (failure && number >= failure.request) results[index] = { ok: false, error: failure.error }
      }
  }

  async #publish(
    topic: string,
    messages: readonly OutgoingMessage[],
    signal: AbortSignal | undefined
  ): Promise<readonly string[]> {
    const { connection } = this.#context
    const request = { topic: topicPath(connection.project, topic), messages }
    const [{ messageIds }] = await connection.publisher(api => api.publish, request, signal)
    return messageIds
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

/** What is left of a request when some of its partitions have failed. */
function withoutFailed(
  request: Request,
  batch: readonly OutgoingRecord[],
  failed: ReadonlyMap<number, unknown>
): Pick<Request, 'indexes' | 'messages'> {
  if (failed.size === 0) return request
  const places = request.indexes.flatMap((index, place) => (failed.has(batch[index]!.partition) ? [] : [place]))
  return {
    indexes: places.map(place => request.indexes[place]!),
    messages: places.map(place => request.messages[place]!)
  }
}
