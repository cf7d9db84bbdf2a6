import { sleep } from '../../core/environment.ts'
import type { AdminDriver, CreateTopic, PartitionBacklog, TopicDescription, TopicSettings } from '../../spec/admin.ts'
import { classify, closedError, kinesisError, nameOf, unknownStream } from './errors.ts'
import { partitionsTag, type Streams } from './streams.ts'

export interface AdminContext {
  readonly streams: Streams
  /** Ms that creating or deleting a stream may take: on AWS tens of seconds. */
  readonly patience: number
}

/** More shards than this only when they are asked for: each costs. */
const mostShards = 4

/** Streams and their tags. */
export class KinesisAdmin implements AdminDriver {
  readonly #context: AdminContext
  readonly #running = new Set<Promise<unknown>>()
  #closed = false

  constructor(context: AdminContext) {
    this.#context = context
  }

  createTopic({ topic, partitions, settings = {} }: CreateTopic): Promise<void> {
    return this.#run(async () => {
      const { streams } = this.#context
      const wanted = readSettings(topic, partitions, settings)
      const tags = { ...wanted.tags, [partitionsTag]: String(partitions) }
      try {
        await streams.connection.request('CreateStream', { StreamName: topic, ...wanted.shape, Tags: tags })
      } catch (error) {
        if (nameOf(error) !== 'ResourceInUseException') throw error
        if ((await streams.summary(topic))?.status === 'DELETING') throw error
        throw kinesisError('topic-exists', `stream '${topic}' exists already`, false, error)
      }
      streams.forget(topic)
      await this.#untilActive(topic)
      // A server that does not take tags with the stream takes them after.
      if ((await streams.count(topic)) !== partitions) {
        await streams.connection.request('AddTagsToStream', { StreamName: topic, Tags: tags })
        streams.forget(topic)
      }
      if (wanted.retention === undefined) return
      const retention = { StreamName: topic, RetentionPeriodHours: wanted.retention }
      await streams.connection.request('IncreaseStreamRetentionPeriod', retention)
      await this.#untilActive(topic)
    })
  }

  deleteTopic(topic: string): Promise<void> {
    return this.#run(async () => {
      const { streams } = this.#context
      try {
        // With its registered consumers: they would keep it.
        await streams.connection.request('DeleteStream', { StreamName: topic, EnforceConsumerDeletion: true })
      } catch (error) {
        throw classify(error).code === 'unknown-topic' ? unknownStream(topic, error) : error
      }
      streams.forget(topic)
      await this.#until(`stream '${topic}' was deleted, but is still there`, async () => {
        return (await streams.summary(topic)) === undefined
      })
    })
  }

  describeTopic(topic: string): Promise<TopicDescription | undefined> {
    return this.#run(async () => {
      const { streams } = this.#context
      const status = (await streams.summary(topic))?.status
      if (status === undefined || status === 'DELETING') return undefined
      return { topic, partitions: await streams.count(topic) }
    })
  }

  listTopics(): Promise<readonly string[]> {
    return this.#run(async () => {
      const { connection } = this.#context.streams
      const names: string[] = []
      for (;;) {
        const last = names.at(-1)
        const input = last === undefined ? {} : { ExclusiveStartStreamName: last }
        const answer = await connection.request('ListStreams', input)
        names.push(...(answer.StreamNames as readonly string[]))
        if (!answer.HasMoreStreams || names.at(-1) === last) return names
      }
    })
  }

  backlog(): Promise<readonly PartitionBacklog[]> {
    return this.#run(async () => {
      throw unsupported('how many records wait, only for how long: MillisBehindLatest')
    })
  }

  committed(): Promise<readonly undefined[]> {
    return this.#run(async () => {
      throw unsupported("positions: those are in the client's store")
    })
  }

  topicSettings(topic: string): Promise<TopicSettings> {
    return this.#run(async () => {
      const summary = await this.#context.streams.summary(topic)
      if (!summary) throw unknownStream(topic)
      return { denied: [], retention: { name: 'RetentionPeriodHours', value: summary.retention } }
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.allSettled(this.#running)
  }

  #untilActive(topic: string): Promise<void> {
    const { streams } = this.#context
    const active = async (): Promise<boolean> => (await streams.summary(topic))?.status === 'ACTIVE'
    return this.#until(`stream '${topic}' is not active yet`, active)
  }

  async #until(otherwise: string, done: () => Promise<boolean>): Promise<void> {
    const { streams, patience } = this.#context
    const { environment } = streams.connection
    const started = environment.monotonic()
    for (let delay = 10; !(await done().catch(passing)); delay = Math.min(delay * 2, 1_000)) {
      if (environment.monotonic() - started > patience)
        throw kinesisError('timeout', `${otherwise}, after ${patience} ms`, true)
      await sleep(environment, delay)
    }
  }

  #run<Result>(act: () => Promise<Result>): Promise<Result> {
    if (this.#closed) return Promise.reject(closedError())
    const running = act()
    this.#running.add(running)
    const forget = (): void => void this.#running.delete(running)
    running.then(forget, forget)
    return running
  }
}

/** Looking again helps. */
function passing(error: unknown): false {
  if (classify(error).retryable) return false
  throw error
}

function unsupported(what: string): Error {
  return kinesisError('unsupported', `Kinesis cannot tell ${what}`)
}

interface Settings {
  /** Part of the request that creates the stream. */
  readonly shape: object
  readonly retention: number | undefined
  readonly tags: Readonly<Record<string, string>>
}

const tagPrefix = 'tags.'

function readSettings(topic: string, partitions: number, given: Readonly<Record<string, string>>): Settings {
  const bad = (message: string): Error => kinesisError('bad-config', `settings of topic '${topic}': ${message}`)
  const known = ['shards', 'mode', 'retentionHours', 'tags.<name>']
  const tags: Record<string, string> = {}
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith(tagPrefix)) tags[name.slice(tagPrefix.length)] = value
    else if (!known.includes(name)) throw bad(`unknown setting '${name}'; known are ${known.join(', ')}`)
  }
  const whole = (name: string): number | undefined => {
    const text = given[name]
    if (text === undefined) return undefined
    if (!/^[1-9]\d*$/.test(text)) throw bad(`'${name}' must be a whole number above 0, got '${text}'`)
    return Number(text)
  }
  const { mode = 'provisioned' } = given
  if (!['provisioned', 'on-demand'].includes(mode)) throw bad(`'mode' must be provisioned or on-demand, got '${mode}'`)
  const shards = whole('shards')
  if (mode === 'on-demand' && shards !== undefined) throw bad("'shards' are Kinesis's own affair with mode on-demand")
  return {
    shape:
      mode === 'on-demand'
        ? { StreamModeDetails: { StreamMode: 'ON_DEMAND' } }
        : { ShardCount: shards ?? Math.min(partitions, mostShards) },
    retention: whole('retentionHours'),
    tags
  }
}
