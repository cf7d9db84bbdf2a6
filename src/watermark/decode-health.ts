import { mostStages, type Cause, type Health, type StageHealth } from './health.ts'
import { ailments, mostTroubles, type Ailment, type Trouble } from './troubles.ts'

const causes: readonly string[] = ['failing', 'slow', 'silent', 'cut-off', 'quiet'] satisfies readonly Cause[]

/**
 * `undefined` for what is none that this release reads: watermarks do not depend on it. It comes from a broker, and anybody may
 * write there.
 */
export function decodeHealth(raw: unknown): Health | undefined {
  if (raw === undefined) return undefined
  try {
    return healthOf(raw)
  } catch {
    return undefined
  }
}

function healthOf(raw: any): Health {
  const upstream = Object.entries<any>(raw.upstream ?? {}).map(
    ([stage, health]) => [name(stage), stageHealth(health)] as const
  )
  const troubles = list(raw.troubles).map(trouble)
  if (upstream.length > mostStages) throw new Error(`${upstream.length} stages`)
  if (troubles.length > mostTroubles) throw new Error(`${troubles.length} troubles`)
  return {
    at: number(raw.at),
    every: number(raw.every),
    pending: number(raw.pending),
    failureRate: number(raw.failureRate),
    ...optional('lateRate', raw.lateRate, number),
    ...(raw.heuristic === true && { heuristic: true }),
    ...(raw.heldBy && {
      heldBy: { task: name(raw.heldBy.task), cause: cause(raw.heldBy.cause), since: number(raw.heldBy.since) }
    }),
    upstream: Object.fromEntries(upstream),
    ...(raw.troubles !== undefined && { troubles })
  }
}

function stageHealth(raw: any): StageHealth {
  return {
    at: number(raw.at),
    tasks: number(raw.tasks),
    silent: number(raw.silent),
    pending: number(raw.pending),
    failureRate: number(raw.failureRate),
    late: number(raw.late),
    parked: number(raw.parked),
    ...optional('lateRate', raw.lateRate, number),
    ...optional('ahead', raw.ahead, finite)
  }
}

function trouble(raw: any): Trouble {
  if (!ailments.includes(raw.cause as Ailment)) throw new Error(`cause ${String(raw.cause)}`)
  return {
    stage: name(raw.stage),
    cause: raw.cause,
    since: number(raw.since),
    ...optional('share', raw.share, number),
    ...optional('ahead', raw.ahead, finite),
    hops: number(raw.hops)
  }
}

function optional<Name extends string>(
  name: Name,
  value: unknown,
  check: (value: unknown) => number
): { readonly [Key in Name]?: number } {
  return value === undefined ? {} : ({ [name]: check(value) } as { [Key in Name]: number })
}

function list(value: unknown): unknown[] {
  if (value === undefined) return []
  if (Array.isArray(value)) return value
  throw new Error('a list')
}

function number(value: unknown): number {
  if (typeof value === 'number' && value >= 0) return value
  throw new Error(`number ${String(value)}`)
}

function finite(value: unknown): number {
  if (Number.isFinite(value)) return value as number
  throw new Error(`number ${String(value)}`)
}

function name(value: unknown): string {
  if (typeof value === 'string' && value.length > 0 && value.length <= 1_000 && value !== '__proto__') return value
  throw new Error('a name')
}

function cause(value: unknown): Cause {
  if (causes.includes(value as string)) return value as Cause
  throw new Error(`cause ${String(value)}`)
}
