import type { Guarantee } from '../../src/index.ts'

/** What a worker process does. Plain data. */
export interface Job {
  readonly url: string
  /** Where it commits, when not by default. */
  readonly store?: string
  /** Of the pipeline: workers of one name share its work. */
  readonly name: string
  /** The first stage goes from the first topic to the second, the next from there to the third. */
  readonly topics: readonly string[]
  readonly partitions: number
  /** The last stage counts the records of each key; else each is passed on as it is. */
  readonly stateful: boolean
  readonly guarantee: Guarantee
  /** ms */
  readonly sessionTimeout?: number
  readonly maxStateBytes?: number
  readonly standby?: boolean
}

/** What a worker answers. `memory`: after garbage was collected, and the most that it has had in memory at a time, bytes. */
export type Answer =
  | { readonly type: 'assigned' | 'followed'; readonly task: string }
  | {
      readonly type: 'memory'
      readonly heap: number
      readonly outside: number
      readonly resident: number
      readonly peak: number
    }
