import { abortedError, type Environment } from '../../core/environment.ts'

/**
 * Turns a client that pushes into a contract that pulls: what arrives is queued up to a number of bytes (law 8), the front
 * takes it when it wants. The pushing side looks at `room` (or awaits `whenRoom`) before it asks its client for more; one
 * item may overshoot the limit, because the size of what comes is not known before.
 */
export class PullQueue<Item> {
  readonly #environment: Environment
  readonly #limit: number
  #items: { readonly item: Item; readonly bytes: number }[] = []
  #bytes = 0
  #failure: { readonly error: unknown } | undefined
  #wakeReader: (() => void) | undefined
  #wakePusher: (() => void)[] = []

  constructor(environment: Environment, limit: number) {
    this.#environment = environment
    this.#limit = limit
  }

  /** Bytes that may be asked for; 0 or less when the queue is full. */
  get room(): number {
    return this.#limit - this.#bytes
  }

  get length(): number {
    return this.#items.length
  }

  /** At the end; `first` puts it before everything that is queued. Ignored after `fail`. */
  push(item: Item, bytes: number, first = false): void {
    if (this.#failure) return
    if (first) this.#items.unshift({ item, bytes })
    else this.#items.push({ item, bytes })
    this.#bytes += bytes
    this.#wakeReader?.()
  }

  /** Up to `most` items, and no more once `bytes` are reached. Throws what `fail` was given. */
  take(most: number, bytes: number = Infinity): Item[] {
    if (this.#failure) throw this.#failure.error
    const taken = this.#items.splice(0, Math.min(most, this.#countWithin(bytes)))
    for (const { bytes } of taken) this.#bytes -= bytes
    if (taken.length > 0) this.#wakePushers()
    return taken.map(({ item }) => item)
  }

  /** Takes out what the predicate picks, in order. */
  remove(picks: (item: Item) => boolean): Item[] {
    const removed = this.#items.filter(({ item }) => picks(item))
    if (removed.length === 0) return []
    this.#items = this.#items.filter(({ item }) => !picks(item))
    for (const { bytes } of removed) this.#bytes -= bytes
    this.#wakePushers()
    return removed.map(({ item }) => item)
  }

  /**
   * Resolves when there is something to take, or after `wait` ms. Rejects with `aborted` by the signal, and with what
   * `fail` was given. One call at a time.
   */
  ready(wait: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(abortedError(signal))
      if (this.#failure) return reject(this.#failure.error)
      if (this.#items.length > 0 || wait <= 0) return resolve()
      const settle = (): void => {
        timer.cancel()
        signal?.removeEventListener('abort', onAbort)
        this.#wakeReader = undefined
        if (this.#failure) reject(this.#failure.error)
        else resolve()
      }
      const onAbort = (): void => {
        timer.cancel()
        this.#wakeReader = undefined
        reject(abortedError(signal))
      }
      const timer = this.#environment.timer(wait, settle)
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#wakeReader = settle
    })
  }

  /** Resolves when there is room again, or the queue has failed. */
  whenRoom(): Promise<void> {
    if (this.room > 0 || this.#failure) return Promise.resolve()
    return new Promise(resolve => this.#wakePusher.push(resolve))
  }

  /** From now on every `take` and `ready` rejects with this; what was queued is dropped. The first failure stays. */
  fail(error: unknown): void {
    if (this.#failure) return
    this.#failure = { error }
    this.#items = []
    this.#bytes = 0
    this.#wakeReader?.()
    this.#wakePushers()
  }

  #countWithin(bytes: number): number {
    if (bytes >= this.#bytes) return this.#items.length
    let count = 0
    for (let left = bytes; left > 0 && count < this.#items.length; count++) left -= this.#items[count]!.bytes
    return count
  }

  #wakePushers(): void {
    if (this.room <= 0 && !this.#failure) return
    const waiting = this.#wakePusher
    this.#wakePusher = []
    for (const wake of waiting) wake()
  }
}
