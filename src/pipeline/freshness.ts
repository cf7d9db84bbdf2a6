import type { Environment, Timer } from '../core/environment.ts'
import { round, silence, type TopicMembership } from '../watermark/index.ts'

/** Knows when the vitals were read to their end, and tells the memberships of topics once that is too long ago. */
export class Freshness {
  readonly #environment: Environment
  readonly #topics: ReadonlyMap<string, TopicMembership>
  readonly #onOld: () => void
  #reads = 0
  #began: number | undefined
  #timer: Timer | undefined

  constructor(environment: Environment, topics: ReadonlyMap<string, TopicMembership>, onOld: () => void) {
    this.#environment = environment
    this.#topics = topics
    this.#onOld = onOld
  }

  /** A read of the vitals begins. Gives when, monotonic ms. */
  begin(): number {
    this.#reads++
    for (const membership of this.#topics.values()) membership.readsBegun = this.#reads
    return this.#environment.monotonic()
  }

  /** It has come to the end. True when watermarks that had to wait may rise. */
  end(began: number): boolean {
    this.#began = began
    this.#timer?.cancel()
    const now = this.#environment.monotonic()
    // Who reads the topic looks by itself, but not while a handler takes its time.
    this.#lookIn(began + round - now, silence)
    let news = false
    for (const membership of this.#topics.values()) news = membership.readEnded(began, now) || news
    return news
  }

  /** The topic is new to this reader. */
  tell(membership: TopicMembership): void {
    if (this.#began !== undefined) membership.readEnded(this.#began, this.#environment.monotonic())
    membership.readsBegun = this.#reads
  }

  close(): void {
    this.#timer?.cancel()
  }

  /** @param then after so long the watermarks go on without: it is looked once more */
  #lookIn(delay: number, then?: number): void {
    const look = (): void => {
      const now = this.#environment.monotonic()
      for (const membership of this.#topics.values()) membership.lookAt(now)
      if (then === undefined) this.#onOld()
      else this.#lookIn(then)
    }
    this.#timer = this.#environment.timer(Math.max(0, delay) + 1, look, true)
  }
}
