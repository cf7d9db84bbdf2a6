import type { Environment, Timer } from '../../core/environment.ts'

/** How soon after news there may be more, ms. */
const soon = 2

/**
 * Tells listeners when the log has changed: by this process at once, by others when SQLite's `data_version` says so,
 * which is looked at often while there is news and less and less often while there is none.
 */
export class News {
  readonly #environment: Environment
  readonly #longest: number
  readonly #dataVersion: () => number
  readonly #listeners = new Set<() => void>()
  #version: number
  #interval: number
  #timer: Timer | undefined

  /** `longest` is the interval at rest, ms. */
  constructor(environment: Environment, longest: number, dataVersion: () => number) {
    this.#environment = environment
    this.#longest = longest
    this.#dataVersion = dataVersion
    this.#version = dataVersion()
    this.#interval = longest
  }

  /** Calls `listener` after every change, until the returned function is called. It must not throw. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener)
    this.#timer ??= this.#poll()
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size === 0) this.close()
    }
  }

  tell(): void {
    for (const listener of this.#listeners) listener()
  }

  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #poll(): Timer {
    return this.#environment.timer(this.#interval, () => this.#look(), true)
  }

  #look(): void {
    this.#timer = this.#poll()
    let version: number | undefined
    try {
      version = this.#dataVersion()
    } catch {
      // Whoever reads next meets the error, and has somebody to tell it to.
    }
    if (version === this.#version) {
      this.#interval = Math.min(this.#longest, this.#interval * 1.5)
      return
    }
    this.#version = version ?? this.#version
    this.#interval = Math.min(this.#longest, soon)
    this.tell()
  }
}
