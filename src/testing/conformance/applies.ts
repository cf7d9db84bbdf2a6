import type { Capabilities } from '../../core/capabilities.ts'
import type { ConformanceCase, HarnessTraits } from './types.ts'

export type Applies = ConformanceCase['applies']

export const always: Applies = () => true

export const log: Applies = capabilities =>
  capabilities.positions === 'log' || 'the backend has no positions to read from'

export const queue: Applies = capabilities =>
  capabilities.positions === 'none' || 'the backend is a log: shown with its positions'

export const groups: Applies = capabilities =>
  (capabilities.positions === 'log' && capabilities.groups) ||
  'the broker has no consumer groups, leases share out the partitions'

/** Positions, but no groups to read them by: what groups show elsewhere is shown with partition readers. */
export const alone: Applies = (capabilities, traits) =>
  capabilities.groups ? 'the broker has consumer groups: shown with them' : log(capabilities, traits)

export const transactions: Applies = capabilities => capabilities.transactions || 'the backend has no transactions'

export const tombstones: Applies = (capabilities, traits) =>
  capabilities.tombstones ? log(capabilities, traits) : 'the backend cannot tell null from empty'

export const seekToTime: Applies = (capabilities, traits) =>
  capabilities.seekToTime ? groups(capabilities, traits) : 'the backend cannot start at a time'

/** The first reason of several, if there is one. */
export function all(...conditions: readonly Applies[]): Applies {
  return (capabilities: Capabilities, traits: HarnessTraits) => {
    for (const condition of conditions) {
      const answer = condition(capabilities, traits)
      if (answer !== true) return answer
    }
    return true
  }
}
