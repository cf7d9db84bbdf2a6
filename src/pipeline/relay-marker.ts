import { view } from '../core/codec.ts'
import type { Environment } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'
import { noHeaders, type OutgoingRecord, type RawRecord } from '../core/record.ts'
import { readToEnd, type TaskName } from '../exactly-once/index.ts'
import type { AnyAdapter, CreateTopic, TopicPartition } from '../spec/index.ts'

/** The compacted topic in which the tasks of a stage keep how far their outputs have come: on each broker that takes them in transactions. */
export function relayedTopic(pipeline: string, stage: string): string {
  return `${pipeline}.${stage}.relayed`
}

/** Are outputs sent to this broker in transactions? One inside this process compacts nothing: its markers would pile up. */
export function relaysInTransactions({ capabilities }: AnyAdapter): boolean {
  return capabilities.transactions && capabilities.scope === 'network'
}

/** The topic of markers, as it is to be made. */
export function markerTopic(pipeline: string, stage: string, partitions: number): CreateTopic {
  return { topic: relayedTopic(pipeline, stage), partitions, compacted: true, fewKeys: true }
}

/** Where the markers of a task are. By the partitions that the topic has: they must be found where they were written. */
export async function markerPlace(adapter: AnyAdapter, task: TaskName): Promise<TopicPartition> {
  const topic = relayedTopic(task.pipeline, task.stage)
  const admin = adapter.admin()
  try {
    const { partitions } = (await admin.describeTopic(topic)) ?? {}
    if (partitions !== undefined) return { topic, partition: task.ordinal % partitions }
    throw new StreamError('unknown-topic', `${adapter.location} does not know topic '${topic}' yet`, {
      retryable: true,
      adapter: adapter.name
    })
  } finally {
    await admin.close()
  }
}

const version = 1

interface Marker {
  readonly version: number
  /** The outputs of all commits up to this one are on the broker. */
  readonly commit: number
}

/** Goes with the outputs, in their transaction. */
export function markerRecord(
  task: TaskName,
  place: TopicPartition,
  commit: number,
  environment: Environment
): OutgoingRecord {
  const marker: Marker = { version, commit }
  return {
    ...place,
    key: Buffer.from(task.id),
    value: Buffer.from(JSON.stringify(marker)),
    headers: noHeaders,
    stamp: undefined,
    timestamp: environment.now()
  }
}

/**
 * The number of the last commit whose outputs are on the broker, 0 for none. Final only when it is asked for after the producer
 * of the task was opened: the one before may else end its transaction behind our back.
 *
 * Errors: `corrupt` for a marker of a newer release.
 */
export async function lastRelayed(adapter: AnyAdapter, task: TaskName, place: TopicPartition): Promise<number> {
  const key = Buffer.from(task.id)
  let last = 0
  await readToEnd(adapter, place, 'earliest', record => {
    // The broker may answer with an old place: what was relayed stays relayed.
    last = Math.max(last, commitOf(record, key, place))
  })
  return last
}

function commitOf(record: RawRecord, key: Buffer, { topic }: TopicPartition): number {
  if (record.key === null || record.value === null || !key.equals(record.key)) return 0
  const { version: written, commit } = parsed(record.value)
  if (written === version && Number.isSafeInteger(commit)) return commit!
  throw new StreamError(
    'corrupt',
    `topic '${topic}' has a marker of task '${key.toString()}' that this release cannot read: ${view(record.value).toString('utf8', 0, 100)}`
  )
}

function parsed(value: Uint8Array): Partial<Marker> {
  try {
    return JSON.parse(view(value).toString('utf8')) as Partial<Marker>
  } catch {
    return {}
  }
}
