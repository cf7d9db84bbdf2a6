import { type Environment, sleep } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { FencedProducer, TransactionBatch, TransactionDriver, TransactionOutcome } from '../../spec/transaction.ts'
import { askCoordinator } from './ask-coordinator.ts'
import type { VendorBroker } from './client.ts'
import { closedError, type Connection } from './connection.ts'
import { classify, explain, protocolCode } from './errors.ts'
import { transactionState } from './describe-transaction.ts'
import { commitsOf } from './offsets.ts'
import { type ProducerIdentity, writeRecords, type WriteOptions } from './produce.ts'

/**
 * One transactional producer per id (decision 4), by the requests of the protocol: init, add partitions, write, add and
 * write offsets, end. kafkajs's own producer cannot go on after a failed end, waits 300 ms where 2 are enough, and copies a
 * partition's list once per record.
 */
export interface TransactionContext {
  readonly environment: Environment
  /** Sockets for one more producer: shared by a few, because a broker answers each socket in order. */
  readonly lane: () => Connection
  readonly write: Omit<WriteOptions, 'connection' | 'identity'>
  /** Ms after which the broker aborts a transaction that does not end. */
  readonly transactionTimeout: number
}

const fencedCodes: readonly number[] = [47, 90]

export class KafkaTransactions implements TransactionDriver {
  readonly #context: TransactionContext

  constructor(context: TransactionContext) {
    this.#context = context
  }

  async producer(id: string): Promise<FencedProducer> {
    const connection = this.#context.lane()
    const { transactionTimeout, environment, write } = this.#context
    const whom = { kind: 'transaction', id, environment, patience: write.timeout } as const
    // Until the transaction of the predecessor has its markers, the coordinator answers CONCURRENT_TRANSACTIONS.
    const { producerId, producerEpoch } = await askCoordinator(connection, whom, coordinator =>
      coordinator.initProducerId({ transactionalId: id, transactionTimeout })
    )
    const identity = { transactionalId: id, id: Number(producerId), epoch: producerEpoch, sequences: new Map() }
    return new KafkaFencedProducer(identity, connection, this.#context)
  }
}

type Outcome = { readonly outcome: TransactionOutcome; readonly error?: unknown }

class KafkaFencedProducer implements FencedProducer {
  readonly #identity: ProducerIdentity
  readonly #connection: Connection
  readonly #context: TransactionContext
  readonly #names: { readonly transactionalId: string; readonly producerId: string; readonly producerEpoch: number }
  #running: Promise<Outcome> | undefined
  #closed = false
  /** After an unclear end nothing more may be written with this epoch. */
  #spent = false

  constructor(identity: ProducerIdentity, connection: Connection, context: TransactionContext) {
    this.#identity = identity
    this.#connection = connection
    this.#context = context
    const { transactionalId, id, epoch } = identity
    this.#names = { transactionalId, producerId: String(id), producerEpoch: epoch }
  }

  async commit(batch: TransactionBatch): Promise<Outcome> {
    if (this.#closed) throw closedError()
    const { transactionalId } = this.#identity
    if (this.#running) throw misuse(`a transaction of '${transactionalId}' is under way: one at a time`)
    if (this.#spent)
      throw misuse(`producer '${transactionalId}' met an unclear or fenced end: close it and make a new one`)
    try {
      this.#running = this.#transact(batch)
      const ended = await this.#running
      this.#spent = ended.outcome === 'fenced' || ended.outcome === 'unknown'
      return ended
    } finally {
      this.#running = undefined
    }
  }

  async #transact(batch: TransactionBatch): Promise<Outcome> {
    const { transactionalId } = this.#identity
    const what = `a transaction of '${transactionalId}'`
    let stage: 'untouched' | 'open' | 'unclear' | 'ending' = 'untouched'
    try {
      // 1. Tell the coordinator which partitions it will have to mark.
      const topics = partitionsOf(batch)
      await this.#checkPartitions(topics)
      stage = 'open'
      await this.#atCoordinator(coordinator => coordinator.addPartitionsToTxn({ ...this.#names, topics }))
      // 2. Write records and offsets; both must be answered before the end.
      const [written, offsets] = await Promise.allSettled([this.#write(batch), this.#writeOffsets(batch)])
      if (written.status === 'rejected') throw written.reason
      if (written.value.unclear) stage = 'unclear'
      if (written.value.failure !== undefined) throw written.value.failure
      if (offsets.status === 'rejected') throw offsets.reason
      // 3. End it, once: a repeated end could end the transaction after this one.
      stage = 'ending'
      const coordinator = await this.#connection.coordinator('transaction', transactionalId)
      await coordinator.endTxn({ ...this.#names, transactionResult: true })
      await this.#untilVisible(coordinator)
      return { outcome: 'committed' }
    } catch (thrown) {
      const error = explain(thrown, what)
      if (isFenced(thrown)) return { outcome: 'fenced', error }
      if (stage === 'untouched') return { outcome: 'aborted', error }
      // A write that may still arrive must not meet a transaction of this epoch: the next init ends this one with a new.
      if (stage !== 'open') return { outcome: 'unknown', error }
      return this.#abort(error)
    }
  }

  /** The coordinator would refuse all of them, and not say which is wrong. */
  async #checkPartitions(
    topics: readonly { readonly topic: string; readonly partitions: readonly number[] }[]
  ): Promise<void> {
    const connection = this.#connection
    const names = topics.map(({ topic }) => topic)
    const missing = (): string | undefined => {
      for (const { topic, partitions } of topics) {
        const partition = partitions.find(each => connection.leaderId(topic, each) === undefined)
        if (partition !== undefined)
          return `topic '${topic}' has ${connection.partitionCount(topic)} partitions, there is no partition ${partition}`
      }
      return undefined
    }
    await connection.loadTopics(names)
    if (!missing()) return
    // A topic may have grown since it was last looked at.
    connection.forgetMetadata()
    await connection.loadTopics(names)
    const text = missing()
    if (text) throw new StreamError('unknown-topic', text, { adapter: 'kafka' })
  }

  /**
   * The answer to the end comes when the decision is stored; readers see the records when the markers are written, a few
   * milliseconds later. The next transaction would have to wait for them too.
   */
  async #untilVisible(coordinator: VendorBroker): Promise<void> {
    const { environment, write } = this.#context
    const started = environment.monotonic()
    while (environment.monotonic() - started < write.timeout) {
      // Whatever goes wrong here, the transaction is committed.
      const state = await transactionState(this.#connection, coordinator, this.#identity.transactionalId).catch(
        () => ''
      )
      if (!state.startsWith('Prepare')) return
      await sleep(environment, 1)
    }
  }

  async #abort(error: StreamError): Promise<Outcome> {
    // A request to the coordinator without an answer may have opened the transaction after our abort.
    if (isUnanswered(error)) return { outcome: 'unknown', error }
    try {
      await this.#atCoordinator(coordinator => coordinator.endTxn({ ...this.#names, transactionResult: false }))
      return { outcome: 'aborted', error }
    } catch (failure) {
      if (isFenced(failure)) return { outcome: 'fenced', error }
      // INVALID_TXN_STATE: it had not even begun.
      return { outcome: protocolCode(failure) === 48 ? 'aborted' : 'unknown', error }
    }
  }

  #write({ records }: TransactionBatch): ReturnType<typeof writeRecords> {
    const { write } = this.#context
    return writeRecords(records, { ...write, connection: this.#connection, identity: this.#identity })
  }

  async #writeOffsets({ offsets }: TransactionBatch): Promise<void> {
    if (!offsets || offsets.positions.length === 0) return
    const { group, positions } = offsets
    const topics = commitsOf(positions)
    // First, so that the topic of the offsets is there to be added.
    await this.#connection.coordinator('group', group)
    await this.#atCoordinator(coordinator => coordinator.addOffsetsToTxn({ ...this.#names, groupId: group }))
    await this.#ask('group', group, keeper => keeper.txnOffsetCommit({ ...this.#names, groupId: group, topics }))
  }

  #atCoordinator<Result>(act: (coordinator: VendorBroker) => Promise<Result>): Promise<Result> {
    return this.#ask('transaction', this.#identity.transactionalId, act)
  }

  #ask<Result>(
    kind: 'transaction' | 'group',
    id: string,
    act: (broker: VendorBroker) => Promise<Result>
  ): Promise<Result> {
    const { environment, write } = this.#context
    return askCoordinator(this.#connection, { kind, id, environment, patience: write.timeout }, act)
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#running?.catch(() => undefined)
  }
}

function partitionsOf({ records }: TransactionBatch): { topic: string; partitions: number[] }[] {
  const topics = new Map<string, Set<number>>()
  for (const { topic, partition } of records) {
    let partitions = topics.get(topic)
    if (!partitions) topics.set(topic, (partitions = new Set()))
    partitions.add(partition)
  }
  return Array.from(topics, ([topic, partitions]) => ({ topic, partitions: [...partitions] }))
}

function isFenced(error: unknown): boolean {
  const code = protocolCode(error)
  return code !== undefined && fencedCodes.includes(code)
}

function isUnanswered(error: StreamError): boolean {
  if (protocolCode(error) !== undefined) return false
  const { code } = classify(error)
  return code === 'connection' || code === 'timeout' || code === 'internal'
}

function misuse(message: string): StreamError {
  return new StreamError('internal', message, { adapter: 'kafka' })
}
