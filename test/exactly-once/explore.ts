export interface Explored {
  readonly states: number
  /** What broke, and the shortest way there. */
  readonly violation: string | undefined
  readonly trace: readonly string[]
  readonly goalReached: boolean
}

/** Breadth-first over all reachable states: the first violation found is one of the shortest. */
export function explore<State>(
  start: State,
  successors: (state: State) => readonly (readonly [name: string, state: State])[],
  violation: (state: State) => string | undefined,
  goal: (state: State) => boolean,
  limit: number
): Explored {
  const parents = new Map<string, { readonly from: string | undefined; readonly by: string }>()
  const startKey = JSON.stringify(start)
  parents.set(startKey, { from: undefined, by: 'start' })
  let frontier: [string, State][] = [[startKey, start]]
  let goalReached = false
  while (frontier.length > 0) {
    const next: [string, State][] = []
    for (const [key, state] of frontier) {
      const broken = violation(state)
      if (broken !== undefined)
        return { states: parents.size, violation: broken, trace: traceOf(parents, key), goalReached }
      goalReached ||= goal(state)
      for (const [by, successor] of successors(state)) {
        const successorKey = JSON.stringify(successor)
        if (parents.has(successorKey)) continue
        parents.set(successorKey, { from: key, by })
        if (parents.size > limit)
          throw new Error(`more than ${limit} states: the model has no end, or the bound is too tight`)
        next.push([successorKey, successor])
      }
    }
    frontier = next
  }
  return { states: parents.size, violation: undefined, trace: [], goalReached }
}

function traceOf(
  parents: ReadonlyMap<string, { readonly from: string | undefined; readonly by: string }>,
  key: string
): string[] {
  const trace: string[] = []
  for (let at: string | undefined = key; at !== undefined;) {
    const parent: { readonly from: string | undefined; readonly by: string } = parents.get(at)!
    trace.unshift(parent.by)
    at = parent.from
  }
  return trace
}
