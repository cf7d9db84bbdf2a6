import { explore, type Explored } from './explore.ts'

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

/** A world of which the models of one family are variants: each with other rules. */
export interface Family<Rules, World> {
  /** Those that the product keeps. */
  readonly rules: Rules
  start(rules: Rules): World
  successors(rules: Rules, world: World): readonly (readonly [name: string, world: World])[]
  violation(rules: Rules, world: World): string | undefined
  isGoal(rules: Rules, world: World): boolean
  readonly limit?: number
}

/** Gives what makes a model of a family: a sound one, or a mutant with the way in which it must break. */
export function modelsOf<Rules extends object, World>(
  family: Family<Rules, World>
): (name: string, what: string, expected: Model['expected'], changes?: Partial<Rules>, deep?: boolean) => Model {
  return (name, what, expected, changes = {}, deep = false) => {
    const rules = { ...family.rules, ...changes }
    return {
      name,
      what,
      expected,
      deep,
      explore: () =>
        explore({
          start: family.start(rules),
          successors: world => family.successors(rules, world),
          violation: world => family.violation(rules, world),
          isGoal: world => family.isGoal(rules, world),
          limit: family.limit ?? 1_500_000
        })
    }
  }
}
