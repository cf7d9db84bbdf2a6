import { abortedError, unlessAborted } from '../../core/environment.ts'
import type { OutgoingRecord } from '../../core/record.ts'
import type { ProducerDriver, SendResult } from '../../spec/producer.ts'
import { closedError } from './errors.ts'
import { Lane, type LaneContext } from './lane.ts'

/** Writes batches: each partition by a lane of its own, all lanes at the same time. */
export class PulsarProducer implements ProducerDriver {
  readonly byPartition: boolean = true
  readonly #context: LaneContext
  readonly #lanes = new Map<string, Lane>()
  #closed = false

  constructor(context: LaneContext) {
    this.#context = context
  }

  async send(batch: readonly OutgoingRecord[], signal?: AbortSignal): Promise<readonly SendResult[]> {
    if (this.#closed) throw closedError()
    if (signal?.aborted) throw abortedError(signal)
    const results: SendResult[] = new Array(batch.length)
    const writing: Promise<void>[] = []
    for (const [lane, indexes] of this.#parts(batch))
      writing.push(
        lane.write(
          indexes.map(index => batch[index]!),
          (place, result) => (results[indexes[place]!] = result),
          signal
        )
      )
    const all = Promise.all(writing)
    await unlessAborted(all, signal)
    return results
  }

  /** Closes the sockets to a topic that is about to be deleted. */
  async letGo(topic: string): Promise<void> {
    const lanes = [...this.#lanes.values()].filter(lane => lane.topic === topic)
    await Promise.all(lanes.map(lane => lane.disconnect()))
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#lanes.values()].map(lane => lane.close()))
  }

  #parts(batch: readonly OutgoingRecord[]): Map<Lane, number[]> {
    const parts = new Map<Lane, number[]>()
    for (const [index, { topic, partition }] of batch.entries()) {
      const name = `${partition} ${topic}`
      let lane = this.#lanes.get(name)
      if (!lane) this.#lanes.set(name, (lane = new Lane(topic, partition, this.#context)))
      const indexes = parts.get(lane)
      if (indexes) indexes.push(index)
      else parts.set(lane, [index])
    }
    return parts
  }
}
