import type { Environment, Timer } from '../core/environment.ts'
import type { AnyAdapter } from '../spec/index.ts'

/** Looks now and then whether topics have got more partitions, all of them: they are read together. */
export class TopicGrowth {
  readonly #adapter: AnyAdapter
  readonly #environment: Environment
  readonly #topics: readonly string[]
  readonly #interval: number
  readonly #grown: (partitions: number) => void
  #known: number
  #timer: Timer | undefined
  #closed = false

  /** @param interval ms between two looks */
  constructor(
    adapter: AnyAdapter,
    environment: Environment,
    topics: readonly string[],
    known: number,
    interval: number,
    grown: (partitions: number) => void
  ) {
    this.#adapter = adapter
    this.#environment = environment
    this.#topics = topics
    this.#known = known
    this.#interval = interval
    this.#grown = grown
    this.#schedule()
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  #schedule(): void {
    if (this.#closed) return
    this.#timer = this.#environment.timer(
      this.#interval,
      () => {
        void this.#look()
          .catch(() => {}) // the next look may see it
          .then(() => this.#schedule())
      },
      true
    )
  }

  async #look(): Promise<void> {
    const admin = this.#adapter.admin()
    try {
      let partitions = Infinity
      for (const topic of this.#topics)
        partitions = Math.min(partitions, (await admin.describeTopic(topic))?.partitions ?? 0)
      if (this.#closed || partitions <= this.#known) return
      this.#known = partitions
      this.#grown(partitions)
    } finally {
      await admin.close()
    }
  }
}
