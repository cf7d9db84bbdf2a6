import type { StreamRecord } from '../../src/core/record.ts'
import type { Commit, TaskName } from '../../src/exactly-once/index.ts'

export function task(ordinal: number = 0): TaskName {
  return { id: `p/load/${ordinal}`, pipeline: 'p', stage: 'load', ordinal }
}

/** A commit that says nothing but its number. */
export function commit(number: number): Commit {
  const head = Buffer.from(JSON.stringify({ number }))
  return { number, token: `token-${number}`, head, state: [], outputs: [], relayedTo: 0, positions: [] }
}

export function record<Value>(value: Value): StreamRecord<'numbers', string, Value> {
  return { topic: 'numbers', partition: 0, position: '0', key: 'k', value, headers: {}, eventTime: 0, late: false }
}
