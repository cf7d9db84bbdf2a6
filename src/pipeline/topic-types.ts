import type { Entry, StreamRecord } from '../core/record.ts'
import type { AnyTopic, Topic } from '../core/topic.ts'

/** One topic or several. */
export type Topics = AnyTopic | readonly AnyTopic[]
type Each<T extends Topics> = T extends readonly (infer Member)[] ? Member : T

/** The records of one topic, or the union of those of several, told apart by `topic`. */
export type RecordOf<T extends Topics> =
  Each<T> extends infer Member
    ? Member extends Topic<infer Name, infer Key, infer Value>
      ? StreamRecord<Name, Key, Value>
      : never
    : never

export type KeyOf<T extends Topics> =
  Each<T> extends infer Member ? (Member extends Topic<string, infer Key, any> ? Key : never) : never

export type PayloadOf<T extends Topics> =
  Each<T> extends infer Member ? (Member extends Topic<string, any, infer Value> ? Value : never) : never

/** Takes the records of the topics as they are: a side output, for those that come too late or must not be decided on. */
export type SideTopic<From extends Topics> = Topic<string, KeyOf<From>, PayloadOf<From>>

/** What may be returned for one topic; for several, each entry names its `topic`. */
export type EntryOf<T extends Topics> = T extends readonly AnyTopic[]
  ? Each<T> extends infer Member
    ? Member extends Topic<infer Name, infer Key, infer Value>
      ? Entry<Key, Value> & { readonly topic: Name }
      : never
    : never
  : T extends Topic<infer Name, infer Key, infer Value>
    ? Entry<Key, Value> & { readonly topic?: Name }
    : never

export type Several<Item> = Item | Iterable<Item> | AsyncIterable<Item> | undefined | void | null
/** One entry, an array, an iterable (also an async one), or nothing; or a promise of these. */
export type Outputs<T extends Topics> = Several<EntryOf<T>> | Promise<Several<EntryOf<T>>>
