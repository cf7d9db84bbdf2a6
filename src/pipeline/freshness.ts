import type { Environment, Timer } from '../core/environment.ts'
import { round, silence, type TopicMembership } from '../watermark/index.ts'

/** Where vitals come all the time a read ends before it is at the end: after so long one goes there all the same, ms. */
const longestBetween = 0.5 * round

/**
 * Knows up to when the vitals are known, and what follows from it for the topics: who has been silent by then is gone; and once it was
 * too long ago, somebody may have joined since.
 *
 * What counts is when a read began that has come to the end: a process that was stopped, or whose broker did not answer, has not listened, and
 * what it missed in that time is no silence of others.
 */
export class Freshness {
  readonly #environment: Environment
  readonly #topics: ReadonlyMap<string, TopicMembership>
  /** A queue finds its end by a round trip of its own: it is only looked for when somebody may be gone. */
  readonly #queue: boolean
  readonly #onOld: () => void
  #reads = 0
  #began: number | undefined
  /** Of a queue: since when everyone who lives has been listened to. */
  #openedAt: number | undefined
  #timer: Timer | undefined

  constructor(
    environment: Environment,
    topics: ReadonlyMap<string, TopicMembership>,
    queue: boolean,
    onOld: () => void
  ) {
    this.#environment = environment
    this.#topics = topics
    this.#queue = queue
    this.#onOld = onOld
  }

  /** The past is read. */
  opened(): void {
    this.#openedAt = this.#environment.monotonic()
  }

  /** Should the next read come to the end, whatever it costs? */
  get isDue(): boolean {
    const now = this.#environment.monotonic()
    if (!this.#queue && this.#began !== undefined && now - this.#began >= longestBetween) return true
    const before = now - silence
    for (const membership of this.#topics.values())
      if (membership.isSilent(before) || (this.#hasStrangersSince(before) && !membership.strangersLifted)) return true
    return false
  }

  /** A read of the vitals begins. Gives when, monotonic ms. */
  begin(): number {
    this.#reads++
    for (const membership of this.#topics.values()) membership.readsBegun = this.#reads
    return this.#environment.monotonic()
  }

  /** It has come to the end. True when watermarks that had to wait may rise. */
  end(began: number): boolean {
    let news = false
    const before = began - silence
    for (const membership of this.#topics.values()) {
      news = membership.liftSilent(before) || news
      if (this.#hasStrangersSince(before)) news = membership.liftStrangers() || news
    }
    if (this.#queue) return news
    this.#began = began
    this.#timer?.cancel()
    const now = this.#environment.monotonic()
    // Who reads the topic looks by itself, but not while a handler takes its time.
    this.#lookIn(began + round - now, silence)
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

  /** On a queue: who was there, and lived, would have been heard by now. */
  #hasStrangersSince(before: number): boolean {
    return this.#queue && this.#openedAt !== undefined && this.#openedAt < before
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
