import { keyed, number, processor, text, topic, type Topic } from '../../src/index.ts'

export interface Job {
  /** Of the pipeline; its topics are called after it. */
  readonly name: string
  readonly standby: boolean
}

/** What a worker tells. */
export interface Word {
  readonly about: 'changelog-read' | 'changelog-followed' | 'task-assigned'
  readonly records: number
  readonly standby: boolean
}

export const inputOf = ({ name }: Job): Topic<string, string, string> =>
  topic(`${name}-in`, { key: text, value: text, partitions: 1 })
export const outputOf = ({ name }: Job): Topic<string, string, number> =>
  topic(`${name}-out`, { key: text, value: number, partitions: 1 })

/** Counts the records of each key. */
export const counting = (job: Job): ReturnType<typeof processor> =>
  processor({
    name: 'count',
    from: inputOf(job),
    to: outputOf(job),
    state: { count: keyed(number, 0) },
    process({ key }, { state }) {
      const count = state.count.get() + 1
      state.count.set(count)
      return { key, value: count }
    }
  })
