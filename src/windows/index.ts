export { aggregate } from './aggregate.ts'
export type { AggregateOptions, Early, Merging, Pane } from './aggregate.ts'
export { intervalJoin } from './interval-join.ts'
export type { IntervalJoinOptions } from './interval-join.ts'
export type { Joined, JoinType } from './join-types.ts'
export { tableJoin } from './table-join.ts'
export type { TableJoinOptions } from './table-join.ts'
export type { Keyed, KeyOf, LateTopic, PayloadOf, Results, SameKey } from './types.ts'
export { hopping, session, tumbling } from './windowing.ts'
export type {
  FixedWindowing,
  HoppingOptions,
  SessionWindowing,
  TumblingOptions,
  Window,
  Windowing
} from './windowing.ts'
