import type { Machine } from './machine.ts'

/** Where in its calls a machine dies. */
export type CrashPoint = { readonly call: number; readonly when: 'before' | 'after' }

/** Counts every call of a machine to its environment, a broker, a store: the places where a crash is possible. */
export class CallLog {
  count = 0
  /** What each call was, when somebody wants to go through all of them. */
  readonly names: string[] | undefined
  readonly #crash: CrashPoint | undefined

  constructor(recorded: boolean, crash?: CrashPoint) {
    this.names = recorded ? [] : undefined
    this.#crash = crash
  }

  next(machine: Machine, what: string): 'before' | 'after' | undefined {
    this.names?.push(`${machine.name}: ${what}`)
    return this.count++ === this.#crash?.call ? this.#crash.when : undefined
  }
}
