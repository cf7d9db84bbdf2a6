import { conformanceCases } from './cases.ts'
import { caseTimeout, runCase } from './run.ts'
import type { ConformanceCase, Harness } from './types.ts'

/** The part of vitest, node:test or mocha that the suite needs. */
export interface TestRunner {
  describe(name: string, body: () => void): void
  readonly it: {
    (name: string, body: () => Promise<void>, timeout?: number): unknown
    skip(name: string, body: () => Promise<void>): unknown
  }
  /** Called with the harness's `stop`. */
  afterAll?(body: () => Promise<void>): void
}

/**
 * Registers every case with a test runner. One that does not apply is skipped with the reason in its title: it never
 * counts as passed.
 *
 * @example
 * import { afterAll, describe, it } from 'vitest'
 * adapterConformance(harness, { describe, it, afterAll })
 */
export function adapterConformance(
  harness: Harness,
  runner: TestRunner,
  cases: readonly ConformanceCase[] = conformanceCases
): void {
  const { describe, it, afterAll } = runner
  // Time for the case and for closing what it opened.
  const timeout = (caseTimeout + 30_000) * (harness.pace ?? 1)
  describe(`conformance of ${harness.backend}`, () => {
    afterAll?.(() => harness.stop())
    for (const group of new Set(cases.map(conformanceCase => conformanceCase.group))) {
      describe(group, () => {
        for (const conformanceCase of cases.filter(each => each.group === group)) {
          const body = (): Promise<void> => runCase(harness, conformanceCase)
          const applies = conformanceCase.applies(harness.capabilities, harness)
          if (applies === true) it(conformanceCase.name, body, timeout)
          else it.skip(`${conformanceCase.name} (not applicable: ${applies})`, body)
        }
      })
    }
  })
}
