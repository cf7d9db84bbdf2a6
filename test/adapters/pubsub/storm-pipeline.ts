import { setTimeout as sleep } from 'node:timers/promises'
import { json, keyed, number, pipeline, processor, text, topic, type Pipeline, type Topic } from '../../../src/index.ts'

export interface StormJob {
  readonly name: string
  /** ms that a deposit takes. */
  readonly pace: number
  /** The existing subscription through which the deposits are read; default: a group of our own over four partitions. */
  readonly subscription?: string | undefined
}

export interface Audited {
  readonly count: number
  readonly sum: number
}

interface Storm {
  readonly deposits: Topic<string, string, { amount: number }>
  readonly audited: Topic<string, string, Audited>
  readonly app: Pipeline
}

/** Two hops: the second one reads what the first has written, and would see everything that is lost or doubled there. */
export function storm({ name, pace, subscription }: StormJob): Storm {
  const deposits = topic(`${name}-deposits`, {
    key: text,
    value: json<{ amount: number }>(),
    partitions: subscription === undefined ? 4 : 1
  })
  const lines = topic(`${name}-lines`, { key: text, value: json<{ line: number }>(), partitions: 4 })
  const audited = topic(`${name}-audited`, { key: text, value: json<Audited>(), partitions: 1 })
  const book = processor({
    name: 'book',
    from: deposits,
    to: lines,
    state: { line: keyed(number, 0) },
    async process({ key }, { state }) {
      await sleep(pace)
      state.line.set(state.line.get() + 1)
      return { key, value: { line: state.line.get() } }
    }
  })
  const audit = processor({
    name: 'audit',
    from: lines,
    to: audited,
    state: { count: keyed(number, 0), sum: keyed(number, 0) },
    process({ key, value }, { state }) {
      state.count.set(state.count.get() + 1)
      state.sum.set(state.sum.get() + value.line)
      return { key, value: { count: state.count.get(), sum: state.sum.get() } }
    }
  })
  return { deposits, audited, app: pipeline(name, [book, audit]) }
}
