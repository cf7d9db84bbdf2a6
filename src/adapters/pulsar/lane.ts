import { abortedError } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { OutgoingRecord } from '../../core/record.ts'
import { decodeStamp } from '../../core/stamp.ts'
import type { SendResult } from '../../spec/producer.ts'
import { classify, closedError } from './errors.ts'
import { type MessageId, positionOf } from './positions.ts'
import { toMessage } from './records.ts'
import type { Topics } from './topics.ts'
import type { OutgoingMessage, ProducerLink, Transport } from './transport.ts'

export interface LaneContext {
  readonly topics: Topics
  readonly transport: Transport
  readonly deduplication: boolean
  readonly maxInFlight: number
}

/** Bytes in flight for one partition, whatever the number of sends. */
const maxBytesInFlight = 4 * 1024 * 1024

/** Who sends a record and as which one, where the broker is to know it. */
interface Identity {
  readonly name: string
  readonly sequence: number
}

/** One open link, and what the broker will take its next send for. */
interface Line {
  readonly link: ProducerLink
  readonly name: string | undefined
  next: number
}

/**
 * Writes to one partition: a link, many sends in flight, acknowledged in order. The first failure ends the link, so that
 * nothing is written behind it. Batches go one behind the other: the next one follows as soon as all of the one before is on
 * its way, not when it is stored.
 *
 * With deduplication the producer and sequence of the stamp are Pulsar's too. The WebSocket API takes no number per
 * message, only the one before the first: a link is good for one producer and for numbers without a hole, otherwise a
 * new one is opened.
 */
export class Lane {
  readonly topic: string
  readonly #partition: number
  readonly #context: LaneContext
  #line: Line | undefined
  /** Until the batch before is on its way. */
  #turn: Promise<void> = Promise.resolve()
  /** Until everything is settled. */
  #settled: Promise<unknown> = Promise.resolve()
  /** Sends more of the batch whose turn it is. */
  #pump: (() => void) | undefined
  #inFlight = 0
  #bytesInFlight = 0
  #onIdle: (() => void) | undefined
  #checked = false
  /** Of the call under way, or the last one. */
  #signal: AbortSignal | undefined
  #closed = false

  constructor(topic: string, partition: number, context: LaneContext) {
    this.topic = topic
    this.#partition = partition
    this.#context = context
  }

  /** Reports each record once, then resolves. Never rejects. */
  write(
    records: readonly OutgoingRecord[],
    report: (place: number, result: SendResult) => void,
    signal?: AbortSignal
  ): Promise<void> {
    const turn = this.#turn
    const writing = new Promise<void>(settled => {
      this.#turn = new Promise<void>(sent => {
        void turn.then(() => this.#write(records, report, sent, signal)).then(settled)
      })
    })
    this.#settled = Promise.all([this.#settled, writing])
    return writing
  }

  async disconnect(): Promise<void> {
    const line = this.#line
    this.#line = undefined
    this.#checked = false
    await line?.link.close()
  }

  async close(): Promise<void> {
    this.#closed = true
    // Nobody waits for the answers of a call that was aborted.
    if (this.#signal?.aborted) await this.disconnect()
    await this.#settled
    await this.disconnect()
  }

  /** @param sent called when the next batch may follow */
  async #write(
    records: readonly OutgoingRecord[],
    report: (place: number, result: SendResult) => void,
    sent: () => void,
    signal: AbortSignal | undefined
  ): Promise<void> {
    this.#signal = signal
    let place = 0
    try {
      while (place < records.length) place = await this.#run(records, place, report, sent, signal)
    } catch (failure) {
      const { at, error } = failure instanceof Failure ? failure : { at: place, error: failure }
      for (let rest = at; rest < records.length; rest++) report(rest, { ok: false, error })
    }
    sent()
  }

  /** Writes as many as one link takes; gives the place to go on. Throws a {@link Failure}. */
  async #run(
    records: readonly OutgoingRecord[],
    first: number,
    report: (place: number, result: SendResult) => void,
    sent: () => void,
    signal: AbortSignal | undefined
  ): Promise<number> {
    if (this.#closed) throw closedError()
    if (signal?.aborted) throw abortedError(signal)
    const line = await this.#lineFor(this.#identity(records[first]!))
    const { maxInFlight } = this.#context
    let next = first
    let done = first
    let failure: Failure | undefined
    /** The next message for this link. `undefined`: it takes no more of this batch. */
    const take = (): OutgoingMessage | undefined => {
      const record = records[next]
      if (failure || record === undefined) return undefined
      try {
        // Left unsent: what is in flight is waited for, the call is over.
        if (signal?.aborted) throw abortedError(signal)
        const identity = this.#identity(record)
        if (identity?.name !== line.name || (identity && identity.sequence !== line.next)) return undefined
        return toMessage(record, identity?.sequence)
      } catch (error) {
        failure = new Failure(next, error)
        return undefined
      }
    }
    await new Promise<void>(resolve => {
      const pump = (): void => {
        while (this.#inFlight < maxInFlight && this.#bytesInFlight < maxBytesInFlight) {
          const message = take()
          if (!message) {
            this.#pump = undefined
            if (next === records.length) sent()
            if (done === next) resolve()
            return
          }
          line.next++
          next++
          const size = message.payload.byteLength
          this.#inFlight++
          this.#bytesInFlight += size
          line.link.send(message, (error, id) => settled(error, id, size))
        }
      }
      const settled = (error: unknown, id: MessageId | undefined, size: number): void => {
        const place = done++
        this.#inFlight--
        this.#bytesInFlight -= size
        if (error !== undefined) {
          // The first one tells what went wrong; those behind it were given up with it.
          if (!failure || failure.at > place) failure = new Failure(place, error)
        } else if (!failure || failure.at > place) report(place, { ok: true, position: id && positionOf(id) })
        // Not one by one: what is sent together goes out in one write.
        if (failure || this.#inFlight <= maxInFlight / 2) this.#pump?.()
        if (done === next && this.#pump !== pump) resolve()
        if (this.#inFlight === 0) this.#onIdle?.()
      }
      this.#pump = pump
      pump()
    })
    if (!line.link.usable) {
      this.#context.topics.forget(this.topic)
      if (this.#line === line) await this.disconnect()
    }
    if (failure) throw failure
    return next
  }

  #identity({ stamp }: OutgoingRecord): Identity | undefined {
    if (!this.#context.deduplication || stamp === undefined) return undefined
    const { producer, sequence } = decodeStamp(stamp)
    return { name: `tidemark-${Buffer.from(producer, 'latin1').toString('hex')}`, sequence }
  }

  async #lineFor(identity: Identity | undefined): Promise<Line> {
    const line = this.#line
    if (line?.link.usable && line.name === identity?.name && (!identity || line.next === identity.sequence)) return line
    // What the batches before have sent is still on its way there.
    if (this.#inFlight > 0) await new Promise<void>(resolve => (this.#onIdle = resolve))
    await this.disconnect()
    const { topics, transport, maxInFlight } = this.#context
    const place = { topic: this.topic, partition: this.#partition }
    try {
      const topic = await topics.partitionTopic(place)
      if (identity && !this.#checked) await this.#assertDeduplication()
      const last = identity && { name: identity.name, lastSequence: identity.sequence - 1 }
      const link = await transport.producer({ topic, identity: last, maxInFlight }).catch(async (error: unknown) => {
        throw classify(error).code === 'timeout' ? ((await topics.fullBacklog(topic)) ?? error) : error
      })
      this.#line = { link, name: identity?.name, next: identity?.sequence ?? 0 }
      topics.assertStays(this.topic)
    } catch (error) {
      topics.forget(this.topic)
      await this.disconnect()
      throw error
    }
    if (!this.#closed) return this.#line
    await this.disconnect()
    throw closedError()
  }

  async #assertDeduplication(): Promise<void> {
    const { topics } = this.#context
    const path = `${topics.pathOf(this.topic)}/deduplicationEnabled?applied=true`
    const on = await topics.rest.get<boolean | undefined>(`the deduplication of '${this.topic}'`, path)
    if (on !== true)
      throw new StreamError(
        'bad-config',
        `${topics.fullName(this.topic)} does not deduplicate, but the option 'deduplication' asks for it: switch it on for the topic or its namespace`,
        { adapter: 'pulsar' }
      )
    this.#checked = true
  }
}

/** Where in the batch it went wrong. */
class Failure {
  readonly at: number
  readonly error: unknown

  constructor(at: number, error: unknown) {
    this.at = at
    this.error = error
  }
}
