import type { CrashPoint } from './core/call-log.ts'
import type { Problem } from './oracle/problems.ts'
import { personalities } from './personalities/index.ts'
import { simulate, type SimulationOptions } from './simulate.ts'
import { smallShop } from './suites.ts'

export interface Swept {
  /** Calls of the run: places where a machine was made to die. */
  readonly calls: number
  readonly runs: number
  readonly failures: readonly {
    readonly crash: CrashPoint
    readonly call: string
    readonly problems: readonly Problem[]
  }[]
}

/** Runs a small pipeline without faults, then again for every call of it: a machine dies there, before and after, singly. */
export async function sweep(personality: string, seed: number, every = 1): Promise<Swept> {
  const make = (): SimulationOptions => ({
    seed,
    suite: smallShop,
    personality: personalities[personality]!(),
    without: 'all'
  })
  const whole = await simulate({ ...make(), recordCalls: true })
  if (whole.problems.length > 0) throw new Error(`it fails without any crash: ${whole.problems[0]!.detail}`)
  const names = whole.calls.names!
  const failures: Swept['failures'][number][] = []
  let runs = 0
  for (let call = 0; call < names.length; call += every)
    for (const when of isInside(names[call]!) ? (['before'] as const) : (['before', 'after'] as const)) {
      const crash = { call, when }
      runs++
      const { problems } = await simulate({ ...make(), crash })
      if (problems.length > 0) failures.push({ crash, call: names[call]!, problems })
    }
  return { calls: names.length, runs, failures }
}

/** A timer or a turn of the event loop has no effect outside: before and after it are one. */
const isInside = (name: string): boolean => / (?:timer|turn)$/.test(name)
