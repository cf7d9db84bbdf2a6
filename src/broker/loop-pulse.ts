import type { Pulse, StagePulse } from '../health/index.ts'
import type { Position } from '../core/record.ts'
import type { TopicPartition } from '../spec/index.ts'

/** How a consumer enters the health of its process, until it ends. */
export type ConsumerHealth = () => { readonly pulse: StagePulse; end(): void }

/** The loop of a consumer in the health of its process: what it is given, and when it asks for more. */
export class LoopPulse {
  readonly #stage: StagePulse
  #pulse: Pulse | undefined
  #place: TopicPartition | undefined
  #end: (() => void) | undefined

  constructor(stage: StagePulse) {
    this.#stage = stage
  }

  /** The loop is given records of one partition, the first at `position`. */
  begin(place: TopicPartition, position: Position): void {
    this.#place = place
    this.#pulse = this.#stage.begin(place.partition)
    this.#pulse.load = () => ({ queued: false, owing: false, done: 0, pending: () => 0, places: [] })
    this.at(position)
  }

  /** It is at this one of them now. */
  at(position: Position): void {
    const { topic, partition } = this.#place!
    this.#end?.()
    this.#end = this.#pulse!.begin({ doing: 'handling a record', by: 'handler', topic, partition, position })
  }

  /** It has asked for more. */
  end(): void {
    this.#end?.()
    this.#end = undefined
    if (this.#pulse) this.#stage.end(this.#pulse)
  }
}
