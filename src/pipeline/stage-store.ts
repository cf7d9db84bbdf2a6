import type { BoundTopic, Sender } from '../broker/index.ts'
import { BrokerStore, changelogTopic, type CommitStore, type Standby } from '../exactly-once/index.ts'
import type { AnyAdapter } from '../spec/index.ts'
import type { Stage } from './definitions.ts'
import { policyOf } from './failure-policy.ts'
import { taskName } from './identity.ts'
import { markerTopic, relaysInTransactions } from './relay-marker.ts'
import type { RunSettings } from './settings.ts'
import type { StageRuntime } from './stage-runtime.ts'
import { keepsKeys } from './stage-shape.ts'
import { StageRelay } from './relay.ts'
import { ensureTopic, type TopicResolver } from './topics.ts'

/** Of the topics in which a stage keeps something for its tasks: the splits of a source may come and go. */
export function changelogPartitions(stage: Stage, tasks: number): number {
  return stage.kind === 'source' ? 4 : tasks
}

/**
 * Where the tasks of a stage commit in their broker; its changelog is made.
 *
 * @param partitions of the changelog
 * @param standbyBytes most that it keeps of tasks that others hold; `undefined`: nothing
 */
export async function openBrokerStore(
  { environment, trying }: TopicResolver,
  adapter: AnyAdapter,
  pipeline: string,
  stage: string,
  partitions: number,
  standbyBytes?: number
): Promise<CommitStore> {
  const topic = changelogTopic(pipeline, stage)
  await ensureTopic(adapter, environment, { topic, partitions, compacted: true }, trying)
  return new BrokerStore(adapter, partitions, standbyBytes ? { environment, maxBytes: standbyBytes } : undefined)
}

/** Of the settings of a run: what the standby of a stage may keep; `undefined`: it has none, or nothing to take over. */
export function standbyBytes({ standby, maxStateBytes }: RunSettings, stage: Stage): number | undefined {
  return standby && stage.kind !== 'source' && keepsKeys(stage) ? maxStateBytes : undefined
}

/** Begins to follow what other workers hold of a stage: it may be ours some day. */
export function standBy({ store, pipeline, stage, tasks }: StandingBy): Standby | undefined {
  const standby = store === 'group' ? undefined : store.standby
  standby?.open(Array.from({ length: tasks }, (_, index) => taskName(pipeline, stage.name, index, index)))
  return standby
}

type StandingBy = Pick<StageRuntime, 'pipeline' | 'stage' | 'tasks'> & { readonly store: CommitStore | 'group' }

/**
 * How a stage sends what it writes; the topics of markers are made on brokers that take its outputs and parked records in transactions.
 *
 * @param topics all that it reads and writes
 */
export async function openRelay(
  { environment, trying }: TopicResolver,
  pipeline: string,
  stage: Stage,
  topics: readonly BoundTopic[],
  store: CommitStore | 'group',
  tasks: number,
  sender: (topic: string) => Sender
): Promise<StageRelay> {
  const partitions = changelogPartitions(stage, tasks)
  const relay = new StageRelay({ environment, sender, partitions })
  if (store === 'group' || store.outputs !== 'relay') return relay
  const parks = policyOf(stage.failure).then === 'park'
  const written = topics.filter(({ topic }) => parks || stage.to.some(to => to.name === topic.name))
  for (const adapter of new Set(written.map(bound => bound.adapter)))
    if (relaysInTransactions(adapter))
      await ensureTopic(adapter, environment, markerTopic(pipeline, stage.name, partitions), trying)
  return relay
}
