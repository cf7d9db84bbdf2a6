import { withRetry, type BoundTopic, type Trying } from '../broker/index.ts'
import type { Environment } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'
import { BrokerStore, changelogTopic, type CommitStore, type PositionStore } from '../exactly-once/index.ts'
import type { AnyAdapter } from '../spec/index.ts'
import type { Stage } from './definitions.ts'

/** What a stage keeps by key, it keeps with the task of the partition that the key is in. */
export function keepsKeys(stage: Stage): boolean {
  return stage.kind === 'processor' && (Object.keys(stage.state).length > 0 || stage.options.onTimer !== undefined)
}

/**
 * With another number of partitions, keys are in other partitions than their state: a stage that has some is refused, before it has
 * read anything. The number that it began with is kept where it commits: with the positions of the store, or as the number of
 * partitions of its changelog.
 */
export async function assertShape(
  pipeline: string,
  stage: Stage,
  from: readonly BoundTopic[],
  store: CommitStore | 'group',
  positions: () => Promise<PositionStore>,
  environment: Environment,
  trying?: Trying
): Promise<void> {
  const [input] = from
  if (!input || !keepsKeys(stage) || store === 'group') return
  const { adapter } = input
  const doing = `comparing the partitions of stage '${stage.name}' with those of its state`
  const options = { ...trying, adapter, environment, doing, attempts: 8 }
  await withRetry(options, () => compare(pipeline, stage, from, store, positions))
}

async function compare(
  pipeline: string,
  stage: Stage,
  from: readonly BoundTopic[],
  store: CommitStore,
  positions: () => Promise<PositionStore>
): Promise<void> {
  const [input] = from
  if (store instanceof BrokerStore) {
    const admin = input!.adapter.admin()
    try {
      const changelog = await admin.describeTopic(changelogTopic(pipeline, stage.name))
      if (changelog?.partitions !== undefined) assertSame(pipeline, stage, input!, changelog.partitions)
    } finally {
      await admin.close()
    }
    return
  }
  const known = await positions()
  const group = `shape of ${pipeline}.${stage.name}`
  for (const bound of from) {
    const { name } = bound.topic
    const before = (await known.positions(group, name)).get(0)
    if (before !== undefined) assertSame(pipeline, stage, bound, Number(before))
    else await known.storePositions(group, [{ topic: name, partition: 0, position: String(bound.partitions) }])
  }
}

function assertSame(pipeline: string, stage: Stage, bound: BoundTopic, before: number): void {
  if (bound.partitions !== before) throw otherPartitions(pipeline, stage, bound, before)
}

/** @param before the partitions that its state is in */
export function otherPartitions(
  pipeline: string,
  stage: Stage,
  { topic, partitions }: Pick<BoundTopic, 'topic' | 'partitions'>,
  before: number
): StreamError {
  return new StreamError(
    'bad-config',
    `topic '${topic.name}' has ${partitions} partitions, and stage '${stage.name}' of '${pipeline}' has its state by key in ${before}: a key would be in another partition than its state. Let the stage come to the end of the topic, then have it read a new topic, into which a stage copies this one; or give the stage another name, and it builds its state anew from what the topic still has (docs/exactly-once.md)`
  )
}

/** Undefined for a source, which reads none. */
export function oneBroker(stage: Stage, from: readonly BoundTopic[]): AnyAdapter | undefined {
  const brokers = new Set(from.map(bound => bound.adapter))
  if (brokers.size <= 1) return from[0]?.adapter
  throw new StreamError(
    'unsupported',
    `stage '${stage.name}' reads topics on several brokers: bring them to one first, with a stage that copies`
  )
}

/** The number of tasks: task i reads partition i of each topic. */
export function coPartitioned(stage: Stage, from: readonly BoundTopic[]): number {
  const counts = new Set(from.map(bound => bound.partitions))
  if (counts.size === 1) return from[0]!.partitions
  const all = from.map(bound => `${bound.topic.name} has ${bound.partitions}`).join(', ')
  throw new StreamError(
    'bad-config',
    `stage '${stage.name}' reads topics with different partition counts (${all}): task i reads partition i of each. Repartition one through a topic of the same count`
  )
}

/** Can tasks that read and write these topics commit in their broker, and are they to? */
export function commitsInBroker(
  commitIn: 'broker' | 'store' | 'either',
  adapter: AnyAdapter,
  topics: readonly BoundTopic[]
): boolean {
  // A broker inside this process gains nothing by its transactions over a store inside this process.
  const isWanted = commitIn === 'broker' || (commitIn === 'either' && adapter.capabilities.scope === 'network')
  return isWanted && adapter.capabilities.transactions && topics.every(bound => bound.adapter === adapter)
}
