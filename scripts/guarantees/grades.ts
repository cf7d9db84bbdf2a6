import type { Capabilities } from '../../src/core/capabilities.ts'

/**
 * - `N`: exactly once by the backend itself, for every reader that uses the backend's own setting;
 * - `S`: exactly once for readers that use tidemark, which know a repeat by its stamp;
 * - `A`: at least once.
 */
export type Grade = 'N' | 'S' | 'A'

export interface Grades {
  /** State, positions, timers and dedupe marks of a task. */
  readonly state: Grade
  /** What a task writes, as a tidemark consumer or pipeline reads it. */
  readonly readByUs: Grade
  /** The same, as any other client reads it. */
  readonly readByOthers: Grade
  /** What must hold for that, in one sentence. */
  readonly condition: string
}

/** What a pipeline gets whose inputs, outputs and vitals are all on this backend, with `guarantee: 'exactly-once'`. */
export function gradesOf(capabilities: Capabilities): Grades {
  const { transactions, readCommitted, durable, scope } = capabilities
  const forget = durable ? '' : ' All of it ends with the process.'
  // In the broker only where it is on the network (decision 0003): in memory, a store promises as much.
  if (transactions && readCommitted && scope === 'network') {
    const condition = `Commit record and outputs are one transaction of the broker; other readers must read committed records only.${forget}`
    return { state: 'N', readByUs: 'N', readByOthers: 'N', condition }
  }
  const store = {
    process: 'any commit store',
    host: 'a commit store that the workers of the host share',
    network: 'a commit store that all workers share'
  }[scope]
  const condition = `Needs ${store}; a relay sends outputs until they are acknowledged, so that other readers may see one twice.${forget}`
  return { state: 'S', readByUs: 'S', readByOthers: 'A', condition }
}
