import { isPromise } from './logic.ts'

export type Pull = IteratorResult<unknown> | { readonly error: unknown }

/**
 * An iterator of the user, one call under way at a time. What it throws, also when it is opened, is a result like any
 * other. Waiting is for the caller to do: a race against a promise that lives as long as the run would keep every result.
 */
export class Pulled {
  readonly #changed: () => void
  readonly #open: () => AsyncIterator<unknown> | Iterator<unknown>
  #iterator: AsyncIterator<unknown> | Iterator<unknown> | undefined
  #arrived: Pull | undefined
  #pulling = false

  /** @param changed there may be something to take now */
  constructor(open: () => AsyncIterator<unknown> | Iterator<unknown>, changed: () => void) {
    this.#open = open
    this.#changed = changed
  }

  /** The next result, or `undefined` while it is on its way. */
  take(): Pull | undefined {
    if (!this.#pulling && this.#arrived === undefined) this.#pull()
    const arrived = this.#arrived
    this.#arrived = undefined
    return arrived
  }

  async close(): Promise<void> {
    try {
      await this.#iterator?.return?.()
    } catch {
      // It was told to stop; how it took that is its own affair.
    }
  }

  #pull(): void {
    try {
      this.#iterator ??= this.#open()
      const next = this.#iterator.next()
      if (!isPromise(next)) {
        this.#arrived = next as IteratorResult<unknown>
        return
      }
      this.#pulling = true
      const settle = (arrived: Pull): void => {
        this.#pulling = false
        this.#arrived = arrived
        this.#changed()
      }
      next.then(
        result => settle(result as IteratorResult<unknown>),
        error => settle({ error })
      )
    } catch (error) {
      this.#arrived = { error }
    }
  }
}
