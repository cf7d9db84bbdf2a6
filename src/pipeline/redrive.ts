import { hasCode, parkedTopic, Sender, type BoundTopic } from '../broker/index.ts'
import { bytes, optional } from '../core/codec.ts'
import { uuidv7 } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'
import type { RawRecord } from '../core/record.ts'
import type { AnyTopic } from '../core/topic.ts'
import type { CommitStore } from '../exactly-once/index.ts'
import { noCounts, vitalsTopic } from '../watermark/index.ts'
import { Committer, FencedSignal } from './committer.ts'
import { durableProducer, taskName } from './identity.ts'
import { describeParked, openParked, type ParkedRecord } from './parked-records.ts'
import { RedriveTask } from './redrive-task.ts'
import { StageRelay } from './relay.ts'
import type { RunHost } from './run.ts'
import { defaultSettings } from './settings.ts'
import { commitsInBroker } from './stage-shape.ts'
import { openBrokerStore } from './stage-store.ts'
import { ensureTopic, resolveTopic } from './topics.ts'
import { VitalsPublisher } from './vitals-publisher.ts'

/** First part of the names of its tasks and of its changelog, where a pipeline has its name. */
const pipeline = 'tidemark.redrive'

export interface RedriveOptions {
  /** Which of the parked records. Default: all. */
  readonly filter?: (parked: ParkedRecord) => boolean
  /** Only counts. */
  readonly dryRun?: boolean
  /**
   * To every reader of the topic. Default: to the stage or group that had given it up, and for every other reader that uses
   * this library it is a repeat. Readers that do not use it see it in any case.
   */
  readonly everybody?: boolean
  /** What has been sent stays sent; the rest is for another run. */
  readonly signal?: AbortSignal
  /** After each batch. */
  readonly onProgress?: (progress: RedriveProgress) => void
  /** For each record that the filter takes. */
  readonly onRecord?: (parked: ParkedRecord, fate: 'sent' | 'already' | 'found') => void
}

export interface RedriveProgress {
  /** Records on the parked topic, as far as it has been read. */
  readonly found: number
  /** Those that the filter takes. */
  readonly matched: number
  /** Of these, sent again by an earlier run. */
  readonly already: number
  /** Of these, sent again now; with `dryRun`, what would be. */
  readonly sent: number
  /** Partitions that are done. */
  readonly partitions: number
  readonly of: number
}

/**
 * Sends parked records back to where they came from, each once, whatever breaks and however often it is called. Runs by
 * itself, without the pipeline that has parked them; two runs for one topic at a time fence each other.
 */
export async function redrive(host: RunHost, topic: AnyTopic, options: RedriveOptions = {}): Promise<RedriveProgress> {
  const raw = optional(bytes)
  const bound = await resolveTopic(
    { ...host, registry: undefined },
    { ...topic, key: raw, value: raw, eventTime: undefined }
  )
  const parked = await describeTopic(host, bound)
  const run = new Redrive(host, bound, options)
  return parked === undefined ? run.progress : run.all(parked)
}

/** Partitions of the parked topic; `undefined` where nothing was ever parked. */
async function describeTopic(host: RunHost, { topic, partitions }: BoundTopic): Promise<number | undefined> {
  try {
    const name = parkedTopic(topic.name)
    const raw = { ...topic, name, partitions: undefined }
    const found = await resolveTopic({ ...host, adapterOf: () => host.adapterOf(topic.name), registry: undefined }, raw)
    return Math.min(found.partitions, partitions)
  } catch (error) {
    if (hasCode(error, 'unknown-topic')) return undefined
    throw error
  }
}

class Redrive {
  progress: RedriveProgress = { found: 0, matched: 0, already: 0, sent: 0, partitions: 0, of: 0 }
  readonly #host: RunHost
  readonly #bound: BoundTopic
  readonly #options: RedriveOptions
  readonly #run: string

  constructor(host: RunHost, bound: BoundTopic, options: RedriveOptions) {
    this.#host = host
    this.#bound = bound
    this.#options = options
    this.#run = uuidv7(host.environment)
  }

  async all(partitions: number): Promise<RedriveProgress> {
    const { environment } = this.#host
    const { adapter, topic } = this.#bound
    const vitals = this.#host.vitalsBroker ?? adapter
    await ensureTopic(vitals, environment, { topic: vitalsTopic, partitions: 1, compacted: true })
    const store = await this.#store(partitions)
    const publisher = new VitalsPublisher(vitals, environment, defaultSettings.vitalsInterval)
    const sender = new Sender(adapter, environment, true)
    this.#count({ of: partitions })
    try {
      for (let partition = 0; partition < partitions; partition++) {
        if (this.#options.signal?.aborted) break
        await this.#partition(partition, store, publisher, sender)
        this.#count({ partitions: partition + 1 })
        this.#options.onProgress?.(this.progress)
      }
    } catch (error) {
      if (error instanceof FencedSignal || hasCode(error, 'fenced'))
        throw new StreamError(
          'fenced',
          `another redrive of '${topic.name}' has begun: what this one had sent is not sent again`
        )
      if (!hasCode(error, 'aborted') || !this.#options.signal?.aborted) throw error
    } finally {
      await sender.close(AbortSignal.abort())
      await publisher.close()
    }
    return this.progress
  }

  async #partition(partition: number, store: CommitStore, publisher: VitalsPublisher, sender: Sender): Promise<void> {
    const { environment } = this.#host
    const { adapter, topic } = this.#bound
    const { filter, dryRun = false, everybody = false, signal, onRecord, onProgress } = this.#options
    const name = taskName(pipeline, topic.name, partition, partition)
    const producer = durableProducer(name)
    const task = new RedriveTask(this.#bound, producer, this.#run, everybody)
    const relay = new StageRelay({ environment, sender: () => sender, partitions: this.#bound.partitions })
    const committer = new Committer({ store, environment, adapter, relay }, name, task)
    const tell = (): Promise<void> => {
      const outputs = new Map(
        [...task.outputs.vitals()].map(([to, written]) => [to, { watermark: Infinity, ...written }])
      )
      const counts = { ...noCounts }
      const { commitNumber: commit } = committer
      // It promises nothing, and nobody waits for it: what it sends is late or not by its own time.
      return publisher.announce([
        { producer, task: name.id, durable: true, state: 'left', watermark: Infinity, outputs, counts, commit }
      ])
    }
    const records = await openParked(adapter, parkedTopic(topic.name), partition)
    try {
      await committer.acquire()
      await tell()
      let uncommitted: RawRecord[] = []
      const commit = async (): Promise<void> => {
        if (task.dirty) await committer.commit(uncommitted.length)
        await records.done(uncommitted)
        uncommitted = []
      }
      for (let batch; (batch = await records.next(signal));) {
        for (const raw of batch) {
          const parked = describeParked(raw, partition)
          this.#count({ found: 1 })
          const isSent = task.has(raw)
          if (filter && !filter(parked)) continue
          this.#count({ matched: 1, ...(isSent ? { already: 1 } : { sent: 1 }) })
          onRecord?.(parked, isSent ? 'already' : dryRun ? 'found' : 'sent')
          if (dryRun) continue
          if (!isSent) task.send(raw, partition)
          uncommitted.push(raw)
          if (task.outputs.records.length >= mostRecords || task.outputs.bytes >= mostBytes) await commit()
        }
        await commit()
        onProgress?.(this.progress)
      }
      task.forgetGone()
      if (!dryRun) await committer.drain(task.dirty)
      await tell()
    } finally {
      await committer.close()
      await records.close()
    }
  }

  /** Where a stage that reads and writes this topic would commit. */
  async #store(partitions: number): Promise<CommitStore> {
    const { adapter, topic } = this.#bound
    if (!commitsInBroker(this.#host.commitIn, adapter, [this.#bound])) return this.#host.openStore()
    return openBrokerStore(this.#host, adapter, pipeline, topic.name, partitions)
  }

  #count(more: Partial<RedriveProgress>): void {
    const { found = 0, matched = 0, already = 0, sent = 0, partitions, of } = more
    const before = this.progress
    this.progress = {
      found: before.found + found,
      matched: before.matched + matched,
      already: before.already + already,
      sent: before.sent + sent,
      partitions: partitions ?? before.partitions,
      of: of ?? before.of
    }
  }
}

const mostRecords = 1_000
const mostBytes = 1024 * 1024
