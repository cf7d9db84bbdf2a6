import { systemEnvironment, type Environment } from '../../../src/core/environment.ts'

/** The real time of a host whose wall clock can be set, and of a process that can be stopped. */
export class Clock implements Environment {
  #offset = 0
  #stopped = false
  #due: (() => void)[] = []

  /** Sets the wall clock forward, or back. */
  set(milliseconds: number): void {
    this.#offset += milliseconds
  }

  /** No timer fires until `go`, as in a process that is suspended; calls still work. */
  stop(): void {
    this.#stopped = true
  }

  go(): void {
    this.#stopped = false
    for (const task of this.#due.splice(0)) task()
  }

  now(): number {
    return systemEnvironment.now() + this.#offset
  }

  monotonic(): number {
    return systemEnvironment.monotonic()
  }

  random(): number {
    return systemEnvironment.random()
  }

  timer(delay: number, task: () => void, background?: boolean): { cancel(): void } {
    let cancelled = false
    const run = (): void => {
      if (cancelled) return
      if (this.#stopped) this.#due.push(run)
      else task()
    }
    const timer = systemEnvironment.timer(delay, run, background)
    return {
      cancel: () => {
        cancelled = true
        timer.cancel()
      }
    }
  }

  turn(): Promise<void> {
    return systemEnvironment.turn()
  }
}
