import type { MemoryAdapter, MemoryBroker } from '../../src/adapters/memory/index.ts'
import type { Environment } from '../../src/core/environment.ts'
import type { RunHost } from '../../src/pipeline/index.ts'
import type { AnyAdapter } from '../../src/spec/index.ts'
import type { Random } from '../core/random.ts'
import type { Story } from '../core/story.ts'

export interface Parts {
  readonly broker: MemoryBroker
  /** Of the broker. */
  readonly environment: Environment
  readonly random: Random
  readonly story: Story
  readonly client: string
  /** No faults from now on. */
  isHealed(): boolean
}

/** A kind of broker: what it can do, and which liberties it takes within its contract. Made anew for each run. */
export interface Personality {
  readonly name: string
  readonly commitIn: RunHost['commitIn']
  /** It keeps the order of a partition. */
  readonly ordered: boolean
  /** It loses records that it has confirmed. */
  readonly loses: boolean
  /** What tasks write is on it once, also for readers without this library. */
  readonly onceForAll?: boolean
  adapter(inner: MemoryAdapter, parts: Parts): AnyAdapter
}
