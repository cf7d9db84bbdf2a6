import type { ClientStore } from '../../src/exactly-once/index.ts'
import type { AnyAdapter } from '../../src/spec/index.ts'
import type { Machine } from '../core/machine.ts'
import type { World } from '../world/world.ts'
import type { personalities } from '../personalities/index.ts'
import type { suites } from '../suites.ts'

/**
 * A bug that looks like good code, put around the pipeline or into one of its classes for the time of a run. A simulator
 * that does not find it is too weak.
 */
export interface Plant {
  readonly name: string
  /** What the bug is. */
  readonly what: string
  /** Where it can show. */
  readonly personality: keyof typeof personalities
  /** Default `exactly-once`. */
  readonly suite?: keyof typeof suites
  /** The store as a machine has it, on this side of the network. */
  store?(store: ClientStore, machine: Machine, world: World): ClientStore
  /** The adapter as the broker sees it, on the other side of the network. */
  adapter?(adapter: AnyAdapter, client: string, world: World): AnyAdapter
  /** Changes a class; gives how to change it back. */
  patch?(world: World): () => void
}
