import { messageOf, StreamError } from '../../core/errors.ts'
import { systemEnvironment } from '../../core/environment.ts'
import { CaseContext } from './context.ts'
import { conformanceCases } from './cases.ts'
import { type CaseResult, type ConformanceCase, type Harness, titleOf } from './types.ts'

export interface RunOptions {
  /** Default: all of them. */
  readonly cases?: readonly ConformanceCase[]
  /** Cases that run at the same time; exclusive ones run alone, at the end. Default 1. */
  readonly concurrency?: number
  /** Called as each case ends. */
  readonly onResult?: (result: CaseResult) => void
}

/** ms for one case, before the harness stretches it. */
export const caseTimeout = 60_000

/** Runs one case to its end, within its time; whatever it opened is closed. Rejects with what went wrong. */
export async function runCase(harness: Harness, conformanceCase: ConformanceCase): Promise<void> {
  const expired = new AbortController()
  const context = new CaseContext(harness, expired.signal)
  const limit = context.paced(caseTimeout)
  let failed = true
  try {
    await within(limit, `the case did not end within ${limit} ms`, conformanceCase.run(context))
    failed = false
  } finally {
    expired.abort()
    const closing = within(context.paced(20_000), 'what the case opened could not be closed', context.close())
    // After a failure the close may fail for the same reason: the first one is told.
    await (failed ? closing.catch(() => {}) : closing)
  }
}

/**
 * Every case on one backend, without a test runner; goes on after failures. Does not stop the harness.
 *
 * @example
 * const failed = (await runConformance(harness)).filter(result => result.status === 'fail')
 */
export async function runConformance(harness: Harness, options: RunOptions = {}): Promise<CaseResult[]> {
  const { cases = conformanceCases, concurrency = 1, onResult } = options
  const results = new Map<ConformanceCase, CaseResult>()
  const run = async (conformanceCase: ConformanceCase): Promise<void> => {
    const result = await resultOf(harness, conformanceCase)
    results.set(conformanceCase, result)
    onResult?.(result)
  }
  const shared = cases.filter(conformanceCase => !conformanceCase.exclusive)
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < shared.length) await run(shared[next++]!)
  }
  await Promise.all(Array.from({ length: concurrency }, lane))
  for (const conformanceCase of cases) if (conformanceCase.exclusive) await run(conformanceCase)
  return cases.map(conformanceCase => results.get(conformanceCase)!)
}

async function resultOf(harness: Harness, conformanceCase: ConformanceCase): Promise<CaseResult> {
  const base = { backend: harness.backend, case: titleOf(conformanceCase) }
  const applies = conformanceCase.applies(harness.capabilities, harness)
  if (applies !== true) return { ...base, status: 'not applicable', reason: applies, milliseconds: 0 }
  const start = systemEnvironment.monotonic()
  const milliseconds = (): number => Math.round(systemEnvironment.monotonic() - start)
  try {
    await runCase(harness, conformanceCase)
    return { ...base, status: 'pass', reason: undefined, milliseconds: milliseconds() }
  } catch (error) {
    return { ...base, status: 'fail', reason: messageOf(error), error, milliseconds: milliseconds() }
  }
}

function within<Value>(milliseconds: number, message: string, promise: Promise<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    const timer = systemEnvironment.timer(milliseconds, () => reject(new StreamError('timeout', message)))
    promise.then(resolve, reject).finally(() => timer.cancel())
  })
}
