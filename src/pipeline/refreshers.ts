interface Refresher {
  /** So many reads must come to the end. */
  rounds: number
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** Who waits until the vitals have been read to their end. */
export class Refreshers {
  #waiting: Refresher[] = []

  get any(): boolean {
    return this.#waiting.length > 0
  }

  wait(rounds: number): Promise<void> {
    return new Promise((resolve, reject) => this.#waiting.push({ rounds, resolve, reject }))
  }

  /** A read has come to the end. */
  read(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const refresher of waiting) {
      if (--refresher.rounds <= 0) refresher.resolve()
      else this.#waiting.push(refresher)
    }
  }

  fail(error: unknown): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }

  /** There will be no more reads: nobody is left waiting. */
  end(): void {
    for (const { resolve } of this.#waiting.splice(0)) resolve()
  }
}
