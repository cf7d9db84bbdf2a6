import type { CrashPoint } from './core/call-log.ts'
import type { Problem } from './oracle/problems.ts'
import { personalities } from './personalities/index.ts'
import { simulate, type SimulationOptions } from './simulate.ts'
import { smallShop } from './suites.ts'

export interface Swept {
  /** Calls of the run: places where a machine was made to die. */
  readonly calls: number
  readonly runs: number
  readonly events: number
  readonly time: number
  readonly failures: readonly {
    readonly crash: CrashPoint
    readonly call: string
    readonly problems: readonly Problem[]
  }[]
}

/**
 * Runs a small pipeline without faults, then again for every call of it: a machine dies there, before and after, singly.
 * Of several parts, every so manieth call.
 */
export async function sweep(personality: string, seed: number, part = 0, parts = 1): Promise<Swept> {
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
  let events = 0
  let time = 0
  for (let call = part; call < names.length; call += parts)
    for (const when of isInside(names[call]!) ? (['before'] as const) : (['before', 'after'] as const)) {
      const crash = { call, when }
      const simulated = await simulate({ ...make(), crash })
      runs++
      events += simulated.events
      time += simulated.time
      if (simulated.problems.length > 0) failures.push({ crash, call: names[call]!, problems: simulated.problems })
    }
  return { calls: names.length, runs, events, time, failures }
}

/** A timer or a turn of the event loop has no effect outside: before and after it are one. */
const isInside = (name: string): boolean => / (?:timer|turn)$/.test(name)
