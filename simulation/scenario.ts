import type { Random } from './core/random.ts'
import type { Evidence } from './oracle/evidence.ts'
import type { Problems } from './oracle/problems.ts'
import type { Personality } from './personalities/personality.ts'
import type { Observations } from './shop/observations.ts'
import type { FaultKind } from './world/faults.ts'
import type { Service } from './world/service.ts'
import type { World } from './world/world.ts'

/** What runs, for how long it is disturbed, and how it is judged. */
export interface Scenario {
  readonly services: readonly Service[]
  /** Faults fall in this time, ms; then all of them end. */
  readonly duration: number
  /** Topics that may take nothing for a while. */
  readonly topics: readonly string[]
  /** Longest that a request is under way, ms. Default: a minute. */
  readonly longest?: number
  /** A service whose machines are spared by all faults. */
  readonly steady?: Service | undefined
  /** A service of which one machine is always there. */
  readonly constant?: Service | undefined
  /** What the handlers are told. */
  readonly seen: Observations
  readonly weights: Partial<Record<FaultKind, number>>
  /** What an operator has done before anything starts. */
  prepare?(world: World): Promise<void>
  /** What happens once the faults are over, where that is more than waiting for the end of all services. */
  afterwards?(world: World): void
  check(evidence: Evidence, world: World): void
}

/** @param random of the scenario: the same whatever happens in the run */
export type Suite = (random: Random, personality: Personality, session: number, problems: Problems) => Scenario
