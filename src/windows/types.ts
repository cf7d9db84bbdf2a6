import type { EntryOf, KeyOf, SideTopic, Topics } from '../pipeline/index.ts'

export type { KeyOf, PayloadOf } from '../pipeline/index.ts'

/** What `result` and `join` may return: one entry, several, or nothing. Not a promise: they are called between two records. */
export type Results<To extends Topics> = EntryOf<To> | Iterable<EntryOf<To>> | undefined | void | null

/** What is kept per key needs keys: a sentence where a topic may have records without one. */
export type Keyed<T extends Topics> =
  null extends KeyOf<T>
    ? 0 extends 1 & KeyOf<T>
      ? unknown
      : 'windows and joins are per key: give the topic a key codec that is not optional'
    : unknown

/** Both sides of a join; a sentence where the keys of one are not those of the other. */
export type SameKey<Left extends Topics, Right extends Topics> = [KeyOf<Left>, KeyOf<Right>] extends [
  KeyOf<Right>,
  KeyOf<Left>
]
  ? Keyed<Right>
  : 'a join needs keys of one type on both sides'

/** Takes the records of the topics as they are. */
export type LateTopic<From extends Topics> = SideTopic<From>
