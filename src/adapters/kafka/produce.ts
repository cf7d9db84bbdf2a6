import { StreamError } from '../../core/errors.ts'
import type { OutgoingRecord } from '../../core/record.ts'
import type { SendResult } from '../../spec/producer.ts'
import { kafkaCapabilities } from './capabilities.ts'
import type { VendorBroker } from './client.ts'
import type { Connection } from './connection.ts'
import { classify, explain, isStaleMetadata, protocolError } from './errors.ts'
import { produce, type ProduceAnswer } from './produce-request.ts'
import { anonymous, type BatchCodec, type BatchProducer, encodeBatch, recordCost } from './record-batch.ts'

/**
 * Writes records to the leaders of their partitions: one request per leader and round, one batch per partition in it (more
 * the broker does not take).
 */
export interface WriteOptions {
  readonly connection: Connection
  readonly codec: BatchCodec
  /** -1: all in-sync replicas, 1: the leader, 0: not even an answer. */
  readonly acks: number
  /** Ms that a request may take. */
  readonly timeout: number
  /** Bytes of a batch by topic, where one was found to be too large. */
  readonly limits: Map<string, number>
  /** Of a transaction. */
  readonly identity?: ProducerIdentity
  /** For tests: the newest version to speak. */
  readonly newest?: number
}

export interface ProducerIdentity {
  readonly transactionalId: string
  readonly id: number
  readonly epoch: number
  /** Next sequence number by topic and partition, changed by each write. */
  readonly sequences: Map<string, number>
}

export interface WriteOutcome {
  /** One per record, in order; of a transaction without positions. */
  readonly results: readonly SendResult[]
  /** The first failure, if any. */
  readonly failure: unknown
  /** A request may or may not have taken effect. */
  readonly unclear: boolean
  /** No request was answered. */
  readonly unanswered: boolean
}

/** Kafka's default `max.message.bytes` is 1 MiB and 12 bytes, which count the whole batch. */
const batchBytes = 1_048_576
/** A broker refuses times that are more than an hour ahead of its clock (`message.timestamp.after.max.ms`, Kafka 4). */
const farthestAhead = 59 * 60_000
/** Far below the broker's `socket.request.max.bytes` of 100 MiB. */
const requestBytes = 16_777_216

// The stamp has the event time, so the broker's need not: results that come early, and what is planned, are written too.
function atMost(record: OutgoingRecord, latest: number): OutgoingRecord {
  return record.stamp && record.timestamp > latest ? { ...record, timestamp: latest } : record
}

const somewhere: SendResult = { ok: true, position: undefined }

interface Pending {
  readonly topic: string
  readonly partition: number
  /** Places in the array of records. */
  readonly places: number[]
  /** How many of them are done. */
  done: number
}

export async function writeRecords(records: readonly OutgoingRecord[], options: WriteOptions): Promise<WriteOutcome> {
  const { connection } = options
  const pendings = group(records)
  const round = new Round(records, options)
  const unknown = await loadEach([...new Set(pendings.map(pending => pending.topic))], connection)
  // A topic may have grown since it was last looked at.
  const known = pendings.filter(({ topic }) => !unknown.has(topic))
  if (known.some(({ topic, partition }) => connection.leaderId(topic, partition) === undefined)) {
    connection.forgetMetadata()
    await connection.loadTopics([...new Set(known.map(({ topic }) => topic))])
  }
  const leaders = new Map<number, Pending[]>()
  for (const pending of pendings) {
    const leader = connection.leaderId(pending.topic, pending.partition)
    if (leader === -1) round.fail(pending, noLeader(pending, connection))
    else if (leader === undefined) round.fail(pending, unknown.get(pending.topic) ?? noPartition(pending, connection))
    else if (leaders.has(leader)) leaders.get(leader)!.push(pending)
    else leaders.set(leader, [pending])
  }
  await Promise.all(Array.from(leaders, ([leader, list]) => round.write(leader, list)))
  return { results: round.results, failure: round.failure, unclear: round.unclear, unanswered: !round.answered }
}

/** A topic that is not there fails its own records only. Returns the error of each. */
async function loadEach(topics: readonly string[], connection: Connection): Promise<Map<string, unknown>> {
  const unknown = new Map<string, unknown>()
  try {
    await connection.loadTopics(topics)
  } catch (error) {
    if (classify(error).code !== 'unknown-topic' || topics.length === 1) throw error
    for (const topic of topics)
      try {
        await connection.loadTopics([topic])
      } catch (failure) {
        if (classify(failure).code !== 'unknown-topic') throw failure
        unknown.set(topic, failure)
      }
    await connection.loadTopics(topics.filter(topic => !unknown.has(topic)))
  }
  return unknown
}

function group(records: readonly OutgoingRecord[]): Pending[] {
  const all: Pending[] = []
  const topics = new Map<string, Pending[]>()
  let last: Pending | undefined
  for (let place = 0; place < records.length; place++) {
    const { topic, partition } = records[place]!
    if (last?.partition !== partition || last.topic !== topic) {
      let partitions = topics.get(topic)
      if (!partitions) topics.set(topic, (partitions = []))
      last = partitions[partition]
      if (!last) all.push((partitions[partition] = last = { topic, partition, places: [], done: 0 }))
    }
    last.places.push(place)
  }
  return all
}

class Round {
  readonly results: SendResult[]
  failure: unknown
  unclear = false
  answered = false
  readonly #records: readonly OutgoingRecord[]
  readonly #options: WriteOptions

  constructor(records: readonly OutgoingRecord[], options: WriteOptions) {
    this.#records = records
    this.#options = options
    this.results = new Array(records.length)
  }

  /** All that is left of the partition fails: what comes after a failed record must not be written. */
  fail({ places, done }: Pending, error: unknown): void {
    this.failure ??= error
    for (const place of places.slice(done)) this.results[place] = { ok: false, error }
  }

  async write(leader: number, list: readonly Pending[]): Promise<void> {
    const { connection } = this.#options
    let left = list
    let sent = false
    try {
      const broker = await connection.broker(leader)
      while (left.length > 0) {
        const slices = await this.#slices(left)
        sent = slices.length > 0
        const answers = sent ? await this.#produce(broker, slices) : []
        sent = false
        this.answered = true
        for (const [index, slice] of slices.entries()) this.#settle(slice, answers[index])
        left = left.filter(pending => this.#isOpen(pending))
      }
    } catch (error) {
      if (isStaleMetadata(error)) connection.forgetMetadata()
      this.unclear ||= sent
      for (const pending of left) this.fail(pending, explain(error, `writing to ${pending.topic}/${pending.partition}`))
    }
  }

  #produce(broker: VendorBroker, slices: readonly Slice[]): ReturnType<typeof produce> {
    const { connection, acks, timeout, identity, newest } = this.#options
    const parts = slices.map(({ pending: { topic, partition }, batch }) => ({ topic, partition, batch }))
    const transactionalId = identity?.transactionalId ?? null
    return produce(connection, broker, { transactionalId, acks, timeout, parts, ...(newest && { newest }) })
  }

  #isOpen({ places, done }: Pending): boolean {
    return done < places.length && this.results[places[done]!] === undefined
  }

  async #slices(pendings: readonly Pending[]): Promise<Slice[]> {
    const { identity, codec, limits } = this.#options
    const slices: Slice[] = []
    let bytes = 0
    for (const pending of pendings) {
      if (bytes > requestBytes) break
      const records = this.#slice(pending, limits.get(pending.topic) ?? batchBytes)
      if (records.length === 0) continue
      const batch = await encodeBatch(records, producerOf(pending, identity), codec)
      bytes += batch.byteLength
      slices.push({ pending, count: records.length, batch })
    }
    return slices
  }

  /** As many of the next records as fit, at least one; none when the next one can never be written. */
  #slice(pending: Pending, limit: number): OutgoingRecord[] {
    const records: OutgoingRecord[] = []
    const latest = this.#options.connection.now() + farthestAhead
    let bytes = 61
    for (let at = pending.done; at < pending.places.length; at++) {
      const record = this.#records[pending.places[at]!]!
      const cost = recordCost(record)
      if (cost > kafkaCapabilities.maxRecord) {
        if (records.length === 0) this.fail(pending, tooLarge(record, cost))
        break
      }
      if (records.length > 0 && bytes + cost > limit) break
      records.push(atMost(record, latest))
      bytes += cost
    }
    return records
  }

  #settle({ pending, count, batch }: Slice, answer: ProduceAnswer | undefined): void {
    const { topic, partition, places, done } = pending
    const { identity, limits, acks, connection } = this.#options
    if (acks !== 0 && !answer) return this.fail(pending, protocolError(-1, `writing to ${topic}/${partition}`))
    const code = answer?.errorCode ?? 0
    if (code === 10 && count > 1) {
      limits.set(topic, Math.max(1, batch.byteLength >>> 1))
      return
    }
    // DUPLICATE_SEQUENCE_NUMBER: it is there already.
    if (code !== 0 && code !== 46) {
      const error = protocolError(code, `writing to ${topic}/${partition}`)
      if (isStaleMetadata(error)) connection.forgetMetadata()
      return this.fail(pending, error)
    }
    // Nobody asks where a transaction has written to.
    const known = answer && code === 0 && !identity
    for (let index = 0; index < count; index++)
      this.results[places[done + index]!] = known ? { ok: true, position: String(answer.offset + index) } : somewhere
    pending.done += count
    if (identity) advance(identity, pending, count)
  }
}

interface Slice {
  readonly pending: Pending
  readonly count: number
  readonly batch: Buffer
}

const keyOf = ({ topic, partition }: Pending): string => `${topic}/${partition}`

function producerOf(pending: Pending, identity: ProducerIdentity | undefined): BatchProducer {
  if (!identity) return anonymous
  const { id, epoch, sequences } = identity
  return { id, epoch, firstSequence: sequences.get(keyOf(pending)) ?? 0, transactional: true }
}

/** Sequences are 31 bits and begin at 0 again. */
function advance({ sequences }: ProducerIdentity, pending: Pending, count: number): void {
  const key = keyOf(pending)
  sequences.set(key, ((sequences.get(key) ?? 0) + count) % 0x8000_0000)
}

function noLeader({ topic, partition }: Pending, connection: Connection): StreamError {
  connection.forgetMetadata()
  return protocolError(5, `writing to ${topic}/${partition}`)
}

function noPartition({ topic, partition }: Pending, connection: Connection): StreamError {
  const count = connection.partitionCount(topic)
  return new StreamError(
    'unknown-topic',
    `topic '${topic}' has ${count} partitions, there is no partition ${partition}`,
    {
      adapter: 'kafka'
    }
  )
}

function tooLarge({ topic, partition }: OutgoingRecord, bytes: number): StreamError {
  return new StreamError(
    'too-large',
    `a record of ${bytes} bytes for ${topic}/${partition} is larger than any request that Kafka takes`,
    { adapter: 'kafka' }
  )
}
