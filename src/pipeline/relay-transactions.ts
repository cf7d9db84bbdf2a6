import { classified, delayOf } from '../broker/index.ts'
import { diagnose } from '../core/diagnostics.ts'
import { abortedError, sleep, type Environment } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'
import { sizeOf, type OutgoingRecord } from '../core/record.ts'
import type { TaskName } from '../exactly-once/index.ts'
import type { AnyAdapter, FencedProducer, TopicPartition } from '../spec/index.ts'
import { lastRelayed, markerPlace, markerRecord, markerTopic } from './relay-marker.ts'
import { ensureTopic } from './topics.ts'

/** Most bytes of outputs that go in one transaction, but for a single commit that has more. */
const transactionBytes = 8 * 1024 * 1024

interface Waiting {
  readonly commit: number
  readonly records: readonly OutgoingRecord[]
  readonly bytes: number
  readonly settle: PromiseWithResolvers<void>
}

/** The broker knows of a later commit than this life: the task has another owner, or this is not the store that it committed to. */
export class AheadOfStore extends StreamError {
  constructor(task: TaskName, { topic }: TopicPartition, relayed: number, newest: number, location: string) {
    super(
      'corrupt',
      `topic '${topic}' on ${location} says that the outputs of commit ${relayed} of task '${task.id}' were sent, but its store knows ${newest} commits: what it would send now would be taken for sent already. Name the store that it committed to, or give the stage another name`
    )
  }
}

export interface TransactionalWayParts {
  readonly adapter: AnyAdapter
  readonly environment: Environment
  readonly task: TaskName
  /** Of the topic of markers, where it must be made. */
  readonly partitions: number
  /** Number of the last commit that this life knows. */
  newest(): number
}

/**
 * Sends the committed outputs of one task to one broker in transactions of the task's own producer, with a marker that says
 * how far it has come: whoever reads with `read_committed` sees each once, whatever crashes, and whoever else sends them.
 * One transaction at a time, of all commits that wait by then. `models/relay.ts` has what must not be done otherwise.
 */
export class TransactionalWay {
  /** Since when nothing could be sent, monotonic ms. */
  failingSince: number | undefined
  readonly adapter: AnyAdapter
  readonly #parts: TransactionalWayParts
  readonly #stop = new AbortController()
  readonly #queue: Waiting[] = []
  #running: Promise<void> | undefined
  #producer: FencedProducer | undefined
  #place: TopicPartition | undefined
  #attempt = 0
  #failure: unknown

  constructor(parts: TransactionalWayParts) {
    this.#parts = parts
    this.adapter = parts.adapter
  }

  /** Resolves when the broker has them for good. In the order of the commits; a commit that was sent by somebody is not sent again. */
  send(commit: number, records: readonly OutgoingRecord[]): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    const bytes = records.reduce((sum, record) => sum + sizeOf(record), 0)
    const settle = Promise.withResolvers<void>()
    this.#queue.push({ commit, records, bytes, settle })
    this.#running ??= this.#run()
    return settle.promise
  }

  /** Sends nothing more: what waits is rejected with `aborted`. */
  stop(): void {
    this.#stop.abort()
    this.#fail(abortedError(this.#stop.signal))
  }

  /** Waits for nothing: what is under way then is as that of a worker that was fenced, and no better is needed. */
  close(): void {
    this.stop()
    void Promise.resolve(this.#running).then(() => this.#drop())
  }

  /** Until nothing waits. Never rejects. */
  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      try {
        // First the producer, which fences the one before and ends its transaction; only then is the marker final.
        if (this.#producer) await this.#transact(this.#producer)
        else await this.#open()
      } catch (thrown) {
        await this.#failed(thrown)
      }
    }
    this.#running = undefined // in the same turn: what is sent from now on begins anew
  }

  async #open(): Promise<void> {
    const { adapter, environment, task, partitions, newest } = this.#parts
    if (!this.#place) {
      const trying = { signal: this.#stop.signal }
      await ensureTopic(adapter, environment, markerTopic(task.pipeline, task.stage, partitions), trying)
      this.#place = await markerPlace(adapter, task)
    }
    this.#producer = await adapter.transactions!().producer(task.id)
    try {
      if (this.#failure !== undefined) throw this.#failure
      const relayed = await lastRelayed(adapter, task, this.#place)
      if (relayed > newest()) throw new AheadOfStore(task, this.#place, relayed, newest(), adapter.location)
      this.#relayed(relayed)
    } catch (error) {
      await this.#drop()
      throw error
    }
  }

  async #transact(producer: FencedProducer): Promise<void> {
    const { environment, task } = this.#parts
    const commits = this.#next()
    const { commit } = commits.at(-1)!
    const records = commits.flatMap(waiting => waiting.records)
    records.push(markerRecord(task, this.#place!, commit, environment))
    const { outcome, error } = await producer.commit({ records }).catch(async (thrown: unknown) => {
      await this.#drop()
      throw thrown
    })
    if (outcome === 'committed') {
      this.failingSince = undefined
      this.#attempt = 0
      return this.#relayed(commit)
    }
    const told = (code: 'fenced' | 'unknown-outcome' | 'connection', what: string): StreamError =>
      new StreamError(code, `a transaction with outputs of task '${task.id}' ${what}`, {
        retryable: true,
        adapter: this.adapter.name,
        cause: error
      })
    if (outcome === 'aborted') throw error ?? told('connection', 'was aborted')
    await this.#drop()
    if (outcome === 'fenced') throw told('fenced', 'was fenced: another worker sends them')
    // Never the same again: a new producer settles it, and the marker then tells.
    throw told('unknown-outcome', 'has come to an unclear end')
  }

  /** What waits, as much as fits; at least one commit. It goes on waiting. */
  #next(): readonly Waiting[] {
    let bytes = 0
    const end = this.#queue.findIndex((waiting, index) => (bytes += waiting.bytes) > transactionBytes && index > 0)
    return end < 0 ? [...this.#queue] : this.#queue.slice(0, end)
  }

  #relayed(commit: number): void {
    while (this.#queue.length > 0 && this.#queue[0]!.commit <= commit) this.#queue.shift()!.settle.resolve()
  }

  async #failed(thrown: unknown): Promise<void> {
    if (this.#failure !== undefined) return
    const { environment, task } = this.#parts
    const error = classified(this.adapter, thrown, `sending the outputs of task '${task.id}'`)
    // One that was fenced does not open a producer again in this life: its successor would be fenced in turn.
    if (!error.retryable || error.code === 'fenced') return this.#fail(error)
    this.failingSince ??= environment.monotonic()
    const { topic, partition } = this.#queue[0]!.records[0]!
    diagnose('send-retried', { topic, partition, attempt: ++this.#attempt, error })
    const delay = delayOf({ first: 20, most: 5_000 }, this.#attempt, environment)
    await sleep(environment, delay, this.#stop.signal).catch(() => {})
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    for (const { settle } of this.#queue.splice(0)) settle.reject(error)
  }

  async #drop(): Promise<void> {
    const producer = this.#producer
    this.#producer = undefined
    await producer?.close().catch(() => {})
  }
}
