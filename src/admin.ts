import { withRetry, parkedTopic } from './broker/index.ts'
import { StreamError } from './core/errors.ts'
import type { AnyTopic } from './core/topic.ts'
import {
  compare,
  ensureGroup,
  ensureTopic,
  groupName,
  redrive,
  replay,
  resolveTopic,
  type CompareOptions,
  type Comparison,
  type Pipeline,
  type RedriveOptions,
  type RedriveProgress,
  type ReplayOptions,
  type Rewound,
  type RunHost
} from './pipeline/index.ts'
import type { AdminDriver, AnyAdapter, PartitionBacklog, TopicDescription } from './spec/index.ts'

export interface CreateTopicOptions {
  /** Default: what the definition says, else 4. */
  readonly partitions?: number
  readonly compacted?: boolean
  /** Settings of the backend, as they are: `{ 'retention.ms': '86400000' }`. */
  readonly settings?: Readonly<Record<string, string>>
}

/** Topics and backlog on the brokers of a client. */
export class Admin {
  readonly #host: RunHost

  constructor(host: RunHost) {
    this.#host = host
  }

  /** Creates a topic. Errors: `topic-exists`, `unauthorized`. */
  async create(topic: AnyTopic, options: CreateTopicOptions = {}): Promise<void> {
    const { partitions = topic.partitions ?? 4, ...rest } = options
    await this.#with(topic, admin => admin.createTopic({ topic: topic.name, partitions, ...rest }))
  }

  /** Creates a topic unless it is there. */
  async ensure(topic: AnyTopic, options: CreateTopicOptions = {}): Promise<void> {
    const { partitions = topic.partitions ?? 4, ...rest } = options
    await ensureTopic(this.#host.adapterOf(topic.called ?? topic.name), this.#host.environment, {
      topic: topic.name,
      partitions,
      ...rest
    })
  }

  /**
   * Creates what a pipeline needs and does not find: topics whose definitions give a partition count, and on a queue (Pub/Sub)
   * its groups. A queue keeps what is written only for groups that it knows: prepare the pipelines that read a topic before
   * anyone writes to it. `run` does the same for its own pipeline.
   */
  async prepare(pipeline: Pipeline): Promise<void> {
    for (const stage of pipeline.stages) {
      for (const topic of [...stage.from, ...stage.to]) await resolveTopic(this.#host, topic)
      for (const topic of stage.from) await this.ensureGroup(groupName(pipeline.name, stage.name), topic)
    }
  }

  /** The same for the group of a consumer. Nothing happens where the broker is a log. */
  async ensureGroup(group: string, topic: AnyTopic): Promise<void> {
    await ensureGroup(this.#host.adapterOf(topic.called ?? topic.name), this.#host.environment, group, topic.name)
  }

  /** On a queue: forgets a group of a topic, which else keeps its backlog for ever. Nothing happens where the broker is a log. */
  async deleteGroup(group: string, topic: AnyTopic): Promise<void> {
    await this.#with(topic, async admin => admin.deleteGroup?.(group, topic.name))
  }

  /**
   * On a queue that keeps what was acknowledged (Pub/Sub with `topicRetention`): a group gets everything again that was written
   * since a time, milliseconds since the epoch; a time of now skips what waits. Stop its readers first. On a log a new
   * consumer has `startAt`. Errors: `unsupported`.
   */
  async seekGroup(group: string, topic: AnyTopic, time: number): Promise<void> {
    await this.#with(topic, async (admin, { name }) => {
      if (admin.seekGroup) return admin.seekGroup(group, topic.name, time)
      throw new StreamError('unsupported', `'${name}' cannot move a group to a time: give a new one \`startAt\``)
    })
  }

  /** Deletes a topic and its records. Errors: `unknown-topic`. */
  async delete(topic: AnyTopic): Promise<void> {
    await this.#with(topic, admin => admin.deleteTopic(topic.name))
  }

  /** `undefined` when there is no such topic. */
  describe(topic: AnyTopic): Promise<TopicDescription | undefined> {
    return this.#with(topic, admin => admin.describeTopic(topic.name))
  }

  /** Records that a group has not committed yet, per partition. */
  backlog(group: string, topic: AnyTopic): Promise<readonly PartitionBacklog[]> {
    return this.#with(topic, async (admin, adapter) => {
      if (adapter.capabilities.groups) return admin.backlog(group, [topic.name])
      if (!admin.behind) throw new StreamError('unsupported', `'${adapter.name}' cannot tell how many records wait`)
      const description = await admin.describeTopic(topic.name)
      const store = await this.#host.openStore()
      const positions = await store.positions(group, topic.name)
      return admin.behind(
        topic.name,
        Array.from({ length: description?.partitions ?? 0 }, (_, partition) => positions.get(partition))
      )
    })
  }

  /** Records that wait before each stage of a pipeline: stage -> records. */
  async pipelineBacklog(pipeline: Pipeline): Promise<ReadonlyMap<string, number>> {
    const found = new Map<string, number>()
    for (const stage of pipeline.stages) {
      let records = 0
      for (const topic of stage.from)
        for (const row of await this.backlog(groupName(pipeline.name, stage.name), topic)) records += row.records
      found.set(stage.name, records)
    }
    return found
  }

  /** Name of the topic where records of this one are parked. */
  parkedTopic(topic: AnyTopic): string {
    return parkedTopic(topic.name)
  }

  /**
   * Sends parked records back to the topic where they were, for the stage or group that had given them up: all, or those that a
   * filter takes. Each is sent once, wherever a call breaks off and however often it is repeated; what fails again is parked
   * anew and can be sent again by the next call. The pipeline need not run meanwhile. Errors: `unknown-topic`, `fenced`
   * (another call for this topic has begun).
   *
   * @example
   * await client.admin.redrive(orders, { filter: ({ code, at }) => code === 'handler' && at! > yesterday })
   */
  redrive(topic: AnyTopic, options?: RedriveOptions): Promise<RedriveProgress> {
    return redrive(this.#host, topic, options)
  }

  /**
   * Sets where a pipeline that does not run goes on: back by time, position or watermark, or past a range that is parked instead of
   * processed. What comes of it are new records to every reader; with `outputs: 'new'` nothing comes of what had been done before, so that a
   * new version takes over with state of its own; `shadow` gives a pipeline that writes elsewhere. Each task is
   * set in one commit; a call that broke off is repeated. See docs/replay.md. Errors: `not-owner` (it runs), `fenced` (it has been started
   * meanwhile), `unsupported` (a queue; a stage that has positions in the broker alone), `bad-config`, `position-lost`.
   *
   * @example
   * await client.admin.replay(app, { from: { time: Date.parse('2026-03-01T12:00:00Z') }, state: 'reset' })
   */
  replay(pipeline: Pipeline, options: ReplayOptions): Promise<readonly Rewound[]> {
    return replay(this.#host, pipeline, options)
  }

  /**
   * Compares two topics by key, from their beginnings to what is there now: what is on the left only is `missing`, on the right only
   * `extra`. Errors: `bad-config` (other partition counts), `unsupported` (a queue), `too-large`.
   *
   * @example
   * const { missing, extra, different } = await client.admin.compare(totals, shadowTopic(totals, 'v2'))
   */
  compare(left: AnyTopic, right: AnyTopic, options?: CompareOptions): Promise<Comparison> {
    return compare(this.#host, left, right, options)
  }

  #with<Result>(
    { name, called = name }: AnyTopic,
    call: (admin: AdminDriver, adapter: AnyAdapter) => Promise<Result>
  ): Promise<Result> {
    const adapter = this.#host.adapterOf(called)
    const { environment } = this.#host
    return withRetry({ adapter, environment, doing: `topic '${name}'`, attempts: 5 }, async () => {
      const admin = adapter.admin()
      try {
        return await call(admin, adapter)
      } finally {
        await admin.close()
      }
    })
  }
}
