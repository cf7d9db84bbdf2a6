import { StreamError } from '../core/errors.ts'
import type { AnyTopic } from '../core/topic.ts'

/** One of the records that a join has brought together. */
export interface Joined<Key, Value> {
  readonly key: Key
  readonly value: Value
  readonly eventTime: number
}

/** `inner` (default): a left record with each of its partners. `left`: also a left record that has none. */
export type JoinType = 'inner' | 'left'

/** Throws `bad-config` for two topics that cannot be joined. */
export function checkSides(where: string, left: AnyTopic, right: AnyTopic, type: JoinType): void {
  if (type !== 'inner' && type !== 'left')
    throw new StreamError('bad-config', `${where}: type must be 'inner' or 'left', got '${String(type)}'`)
  if (left.name === right.name)
    throw new StreamError('bad-config', `${where} reads '${left.name}' on both sides: it needs two topics`)
  if (left.key.name !== right.key.name)
    throw new StreamError(
      'bad-config',
      `${where}: keys of '${left.name}' are ${left.key.name} and keys of '${right.name}' are ${right.key.name}: equal keys must be equal bytes`
    )
}
