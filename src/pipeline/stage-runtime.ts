import type { BoundTopic } from '../broker/index.ts'
import type { Environment } from '../core/environment.ts'
import type { Tracing } from '../core/tracing.ts'
import type { RunHealth } from '../health/index.ts'
import type { AnyAdapter } from '../spec/index.ts'
import type { ClientStore, CommitStore } from '../exactly-once/index.ts'
import type { LocalTasks } from './aligner.ts'
import type { Stage } from './definitions.ts'
import type { StageRelay } from './relay.ts'
import type { RunSettings } from './settings.ts'
import type { VitalsOutlets } from './vitals-outlets.ts'
import type { VitalsView } from './vitals-view.ts'

/** Everything that the tasks of one stage share in one run. */
export interface StageRuntime<Kind extends Stage = Stage> {
  readonly pipeline: string
  readonly stage: Kind
  readonly environment: Environment
  readonly settings: RunSettings
  /** Bound topics, in the order of the definition. */
  readonly from: readonly BoundTopic[]
  readonly to: readonly BoundTopic[]
  /** The broker of the inputs; of a source, that of its first output. */
  readonly adapter: AnyAdapter
  /** Tasks of the stage; of a source, splits. */
  readonly tasks: number
  readonly store: CommitStore
  readonly tracing: Tracing | undefined
  readonly health: RunHealth
  /** Leases, on brokers without groups. */
  leases(): Promise<ClientStore>
  /** How its tasks send what they write. */
  readonly relay: StageRelay
  /** Its tasks on this worker. */
  readonly local: LocalTasks
  /** Where its tasks report. */
  readonly vitals: VitalsOutlets
  /** What the producers of the inputs report. */
  readonly view: VitalsView
  /** What the tasks of this very stage report, on this worker and on others. */
  readonly peers: VitalsView
}
