import type { Machine } from '../core/machine.ts'
import type { Delivery, QueueSubscription, ReceiveOptions } from '../../src/spec/index.ts'

/** A subscription through the network. A delivery that nobody hears comes again when its deadline has passed. */
export class RemoteQueue implements QueueSubscription {
  readonly #machine: Machine
  readonly #inner: QueueSubscription

  constructor(machine: Machine, inner: QueueSubscription) {
    this.#machine = machine
    this.#inner = inner
  }

  receive(options: ReceiveOptions): Promise<readonly Delivery[]> {
    const { wait, signal } = options
    return this.#machine.call('broker', 'receive', () => this.#inner.receive({ wait, ...(signal && { signal }) }), {
      signal,
      patient: true
    })
  }

  acknowledge(ids: readonly string[]): Promise<readonly string[]> {
    return this.#machine.call('broker', 'acknowledge', () => this.#inner.acknowledge(ids))
  }

  release(ids: readonly string[]): Promise<void> {
    return this.#machine.call('broker', 'release', () => this.#inner.release(ids))
  }

  extend(ids: readonly string[], milliseconds: number): Promise<void> {
    return this.#machine.call('broker', 'extend', () => this.#inner.extend(ids, milliseconds))
  }

  async close(): Promise<void> {
    await this.#machine.call('broker', 'unsubscribe', () => this.#inner.close()).catch(() => {})
  }
}
