import { bindTopic, hasCode, parkedTopic, withRetry, type BoundTopic, type Trying } from '../broker/index.ts'
import type { Environment } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'
import type { SchemaRegistry } from '../core/registry.ts'
import type { AnyTopic } from '../core/topic.ts'
import type { AdminDriver, AnyAdapter, CreateTopic } from '../spec/index.ts'

/** What the run of a pipeline needs from its client. */
export interface TopicResolver {
  readonly environment: Environment
  readonly registry: SchemaRegistry | undefined
  /** The broker that carries a topic. */
  adapterOf(topic: string): AnyAdapter
  /** Where the vitals of all brokers go. Default: each broker carries its own. */
  readonly vitalsBroker?: AnyAdapter | undefined
  /** Of a run that starts. */
  readonly trying?: Trying | undefined
}

/** Creates a topic unless it is there. Two workers may do so at once. */
export async function ensureTopic(
  adapter: AnyAdapter,
  environment: Environment,
  topic: CreateTopic,
  trying?: Trying
): Promise<void> {
  const create = async (admin: AdminDriver): Promise<void> => {
    if (await admin.describeTopic(topic.topic)) return
    await admin.createTopic(topic).catch(error => {
      if (adapter.classify(error).code !== 'topic-exists' && !hasCode(error, 'topic-exists')) throw error
    })
  }
  await administrate(adapter, environment, `creating topic '${topic.topic}'`, create, trying)
}

/** The topic bound to its broker, created when its definition gives a partition count. Errors: `unknown-topic`. */
export async function resolveTopic(resolver: TopicResolver, topic: AnyTopic): Promise<BoundTopic> {
  const { environment, registry, trying } = resolver
  const adapter = resolver.adapterOf(topic.called ?? topic.name)
  const { name } = topic
  const partitions = topic.partitions ?? (await partitionsOf(adapter, environment, topic.called, trying))
  if (partitions !== undefined) await ensureTopic(adapter, environment, { topic: name, partitions }, trying)
  const describe = async (admin: AdminDriver) => {
    const description = await admin.describeTopic(name)
    // It was there, or was made, a moment ago: a broker that is starting does not know its topics at once.
    if (!description && partitions !== undefined)
      throw new StreamError('unknown-topic', `${adapter.location} does not know topic '${name}' yet`, {
        retryable: true
      })
    return description && { ...description, compacted: await isCompacted(adapter, admin, name) }
  }
  const found = await administrate(adapter, environment, `describing topic '${name}'`, describe, trying)
  if (!found)
    throw new StreamError(
      'unknown-topic',
      `topic '${name}' is not on ${adapter.location}: create it with client.admin.create(topic, { partitions: 4 }), or give its definition \`partitions\` to have it created`
    )
  if (found.partitions === undefined)
    throw new StreamError(
      'bad-config',
      `topic '${name}' on ${adapter.location} carries no partition count: ${found.advice ?? 'create it with client.admin.create(topic, { partitions: 4 })'}`
    )
  if (partitions !== undefined && found.partitions !== partitions)
    throw new StreamError(
      'bad-config',
      `topic '${name}' has ${found.partitions} partitions on ${adapter.location}, its definition says ${partitions}: make them agree`
    )
  if (topic.gaps === 'stall' && found.compacted)
    throw new StreamError(
      'bad-config',
      `topic '${name}' on ${adapter.location} is compacted, or does not say whether it is: it has gaps that are no loss, and cannot have gaps: 'stall'`
    )
  return bindTopic(topic, adapter, found.partitions, registry, found.compacted)
}

/** The topic of a shadow run has as many as the one that it stands for. */
async function partitionsOf(
  adapter: AnyAdapter,
  environment: Environment,
  topic: string | undefined,
  trying: Trying | undefined
): Promise<number | undefined> {
  if (topic === undefined) return undefined
  const describe = async (admin: AdminDriver): Promise<number | undefined> =>
    (await admin.describeTopic(topic))?.partitions
  return administrate(adapter, environment, `describing topic '${topic}'`, describe, trying)
}

/** May records of a topic vanish because others have their key? Where it can be asked, the topic decides. */
async function isCompacted({ capabilities }: AnyAdapter, admin: AdminDriver, topic: string): Promise<boolean> {
  if (!capabilities.lossy.compaction) return false
  // Who may not ask goes on without: then a gap says nothing.
  const settings = await admin.topicSettings?.(topic, []).catch(() => undefined)
  return settings?.compacted?.value ?? true
}

/** The group that keeps what is parked on a queue, where a topic without a reader keeps nothing. */
export const parkedGroup = 'parked'

/** The dead-letter topic of a bound one. */
export async function ensureParked(
  { adapter, topic, partitions }: BoundTopic,
  environment: Environment,
  trying?: Trying
): Promise<void> {
  const parked = parkedTopic(topic.name)
  await ensureTopic(adapter, environment, { topic: parked, partitions }, trying)
  await ensureGroup(adapter, environment, parkedGroup, parked, trying)
}

/** On a queue: from now on what is written to the topic is kept for the group. A log keeps it anyway. */
export async function ensureGroup(
  adapter: AnyAdapter,
  environment: Environment,
  group: string,
  topic: string,
  trying?: Trying
): Promise<void> {
  if (adapter.capabilities.positions === 'log') return
  const ensure = async (admin: AdminDriver): Promise<void> => admin.ensureGroup?.(group, topic)
  await administrate(adapter, environment, `preparing group '${group}' of topic '${topic}'`, ensure, trying)
}

async function administrate<Result>(
  adapter: AnyAdapter,
  environment: Environment,
  doing: string,
  call: (admin: AdminDriver) => Promise<Result>,
  trying?: Trying
): Promise<Result> {
  return withRetry({ ...trying, adapter, environment, doing, attempts: 8 }, async () => {
    const admin = adapter.admin()
    try {
      return await call(admin)
    } finally {
      await admin.close()
    }
  })
}
