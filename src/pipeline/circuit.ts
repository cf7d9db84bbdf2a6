import { diagnose } from '../core/diagnostics.ts'
import type { Environment } from '../core/environment.ts'
import { Signal } from '../core/signal.ts'

/** When a destination that fails is left alone, and for how long. */
export interface CircuitOptions {
  /** Failures in a row, over all tasks of the stage at this worker, that open the circuit. Default 5. */
  readonly failures?: number
  /** Once it is open, one attempt is made every so many ms. Default 5,000. */
  readonly probe?: number
}

/**
 * A circuit breaker: after so many failures in a row nothing is attempted, but for one probe now and then; the first that
 * succeeds closes it. Shared by the tasks of a stage, so that a destination that is down is asked once, not by each of them.
 */
export class Circuit {
  readonly #stage: string
  readonly #environment: Environment
  readonly #failures: number
  readonly #probe: number
  readonly #closed: Signal[] = []
  #inARow = 0
  #openSince: number | undefined
  #nextProbe = 0
  #probing = false

  constructor(stage: string, environment: Environment, { failures = 5, probe = 5_000 }: CircuitOptions = {}) {
    this.#stage = stage
    this.#environment = environment
    this.#failures = failures
    this.#probe = probe
  }

  get isOpen(): boolean {
    return this.#openSince !== undefined
  }

  /** Resolves when an attempt may be made: at once while the circuit is closed, else when it is this one's turn to probe. */
  async admit(signal: AbortSignal): Promise<void> {
    while (this.#openSince !== undefined) {
      const wait = this.#nextProbe - this.#environment.monotonic()
      if (wait <= 0 && !this.#probing) {
        this.#probing = true
        return
      }
      const news = new Signal(this.#environment)
      this.#closed.push(news)
      try {
        await news.wait(Math.max(1, wait), signal)
      } finally {
        this.#closed.splice(this.#closed.indexOf(news), 1)
      }
    }
  }

  succeeded(): void {
    this.#inARow = 0
    this.#probing = false
    if (this.#openSince === undefined) return
    const milliseconds = this.#environment.monotonic() - this.#openSince
    this.#openSince = undefined
    diagnose('circuit-closed', { stage: this.#stage, milliseconds })
    for (const news of this.#closed) news.raise()
  }

  failed(error: unknown): void {
    this.#inARow++
    const now = this.#environment.monotonic()
    this.#probing = false
    if (this.#openSince !== undefined) this.#nextProbe = now + this.#probe
    else if (this.#inARow >= this.#failures) {
      this.#openSince = now
      this.#nextProbe = now + this.#probe
      diagnose('circuit-opened', { stage: this.#stage, failures: this.#inARow, error })
    }
    // Somebody else may take its turn.
    for (const news of this.#closed) news.raise()
  }
}
