import { describe, expect, test } from 'vitest'
import { conformanceCases, type ConformanceCase, runConformance, titleOf } from '../../src/testing/conformance/index.ts'
import { memoryHarness } from './harnesses.ts'
import { sabotaged } from './sabotage.ts'
import { sabotages } from './sabotages.ts'

const named = (part: string): ConformanceCase => {
  const found = conformanceCases.filter(each => each.name.startsWith(part) || each.name.includes(part))
  expect(found, `exactly one case is called '${part}'`).toHaveLength(1)
  return found[0]!
}

describe('the suite finds out an adapter in which', () => {
  test.concurrent.for(Object.entries(sabotages))('%s', async ([, [sabotage, ...parts]], { expect: assert }) => {
    const cases = parts.map(named)
    const results = await runConformance(sabotaged(sabotage), { cases })
    assert(results.map(({ case: title, status }) => `${status} ${title}`)).toEqual(
      cases.map(each => `fail ${titleOf(each)}`)
    )
  })
})

test('every case that applies to the memory backend is failed by some sabotage', () => {
  const harness = memoryHarness()
  const shown = new Set(Object.values(sabotages).flatMap(([, ...parts]) => parts.map(part => titleOf(named(part)))))
  const applying = conformanceCases.filter(each => each.applies(harness.capabilities, harness) === true)
  expect(applying.map(titleOf).filter(title => !shown.has(title))).toEqual([])
})
