export interface Explored {
  readonly states: number
  /** What broke, and the shortest way there. */
  readonly violation: string | undefined
  readonly trace: readonly string[]
  /** Some state is what all of it is for: a model that cannot get there proves nothing. */
  readonly goalReached: boolean
}

export interface Space<State> {
  readonly start: State
  successors(state: State): readonly (readonly [name: string, state: State])[]
  violation(state: State): string | undefined
  isGoal(state: State): boolean
  /** More states than this: the model has no end, or the bound is too tight. */
  readonly limit: number
}

/** Breadth-first over all reachable states, which must be plain values: the first violation found is one of the shortest. */
export function explore<State>({ start, successors, violation, isGoal, limit }: Space<State>): Explored {
  // State -> its number; number -> where it was reached from, and by what.
  const known = new Map<string, number>([[JSON.stringify(start), 0]])
  const from: number[] = [-1]
  const by: string[] = ['start']
  let frontier: (readonly [number, State])[] = [[0, start]]
  let goalReached = false
  while (frontier.length > 0) {
    const next: [number, State][] = []
    for (const [number, state] of frontier) {
      const broken = violation(state)
      if (broken !== undefined)
        return { states: known.size, violation: broken, trace: traceOf(from, by, number), goalReached }
      goalReached ||= isGoal(state)
      for (const [name, successor] of successors(state)) {
        const key = JSON.stringify(successor)
        if (known.has(key)) continue
        const own = known.size
        if (own > limit) throw new Error(`more than ${limit} states: the model has no end, or the bound is too tight`)
        known.set(key, own)
        from.push(number)
        by.push(name)
        next.push([own, successor])
      }
    }
    frontier = next
  }
  return { states: known.size, violation: undefined, trace: [], goalReached }
}

function traceOf(from: readonly number[], by: readonly string[], last: number): string[] {
  const trace: string[] = []
  for (let at = last; at >= 0; at = from[at]!) trace.unshift(by[at]!)
  return trace
}
