import type { Explored } from './explore.ts'

/** A bounded world in which every interleaving is gone through. */
export interface Model {
  readonly name: string
  readonly what: string
  /** What must come out: `ok`, or how it breaks. A mutant that does not break means that the model is too weak. */
  readonly expected: 'ok' | RegExp
  /** Takes its time: left out of the quick run. */
  readonly deep?: boolean
  explore(): Explored
}

export interface Checked extends Explored {
  readonly model: Model
  /** As expected. */
  readonly passed: boolean
  /** One line: `ok`, or what broke. */
  readonly verdict: string
}

export function check(model: Model): Checked {
  const explored = model.explore()
  const { violation, goalReached } = explored
  const passed = model.expected === 'ok' ? violation === undefined && goalReached : model.expected.test(violation ?? '')
  const verdict = violation ?? (goalReached ? 'ok' : 'STUCK the goal is never reached')
  return { ...explored, model, passed, verdict }
}
