import { createHash } from 'node:crypto'
import { uuidv7Bytes, type Environment } from '../core/environment.ts'
import { partitionOf } from '../core/partitioner.ts'
import type { ProducerId } from '../core/stamp.ts'
import type { TaskName } from '../exactly-once/index.ts'

export function taskName(pipeline: string, stage: string, part: number | string, ordinal: number): TaskName {
  return { id: `${pipeline}/${stage}/${part}`, pipeline, stage, ordinal }
}

/**
 * The task of a split of a source. Its ordinal is a hash of its name, not its place in the list: the list may change, and
 * the commits of a split must be found where they were.
 */
export function splitName(pipeline: string, stage: string, split: string): TaskName {
  return taskName(pipeline, stage, split, partitionOf(Buffer.from(split), 2 ** 31 - 1))
}

/**
 * The producer id of a task, for life: it can be announced by any worker, before the task has an owner. A UUIDv8: one with a
 * time of birth would be taken for that of a process.
 */
export function durableProducer(task: TaskName): ProducerId {
  const bytes = createHash('sha256').update(task.id).digest().subarray(0, 16)
  bytes[6] = (bytes[6]! & 0x0f) | 0x80
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return bytes.toString('latin1')
}

/**
 * The producer id of one life of a task whose outputs are sent before the commit: after a crash it may produce something
 * else under the same sequence, which a reader must not take for a repeat.
 */
export function mortalProducer(environment: Environment): ProducerId {
  return uuidv7Bytes(environment).toString('latin1')
}

export function groupName(pipeline: string, stage: string): string {
  return `${pipeline}.${stage}`
}
