import { simulate, type Simulated, type SimulationOptions } from './simulate.ts'

export interface Shrunk {
  /** Faults that can be left out, by their number. */
  readonly without: ReadonlySet<number>
  readonly simulated: Simulated
}

/** Leaves out faults for as long as the run fails in the same way, then tells what is left. `options` make a new personality each time. */
export async function shrink(make: () => SimulationOptions): Promise<Shrunk> {
  const whole = await simulate(make())
  const kinds = new Set(whole.problems.map(({ kind }) => kind))
  let without = new Set<number>()
  for (let index = whole.faults.length - 1; index >= 0; index--) {
    const fewer = new Set([...without, index])
    const { problems } = await simulate({ ...make(), without: fewer })
    if (problems.some(({ kind }) => kinds.has(kind))) without = fewer
  }
  return { without, simulated: await simulate({ ...make(), without, told: true }) }
}
