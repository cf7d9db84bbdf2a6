import { BrokerStore, changelogTopic, type CommitStore } from '../exactly-once/index.ts'
import type { AnyAdapter } from '../spec/index.ts'
import { ensureTopic, type TopicResolver } from './topics.ts'

/**
 * Where the tasks of a stage commit in their broker; its changelog is made.
 *
 * @param partitions of the changelog
 */
export async function openBrokerStore(
  { environment, trying }: TopicResolver,
  adapter: AnyAdapter,
  pipeline: string,
  stage: string,
  partitions: number
): Promise<CommitStore> {
  const topic = changelogTopic(pipeline, stage)
  await ensureTopic(adapter, environment, { topic, partitions, compacted: true }, trying)
  return new BrokerStore(adapter, partitions)
}
