import { describe, expect, test } from 'vitest'
import { conformanceCases, type ConformanceCase, runConformance, titleOf } from '../../src/testing/conformance/index.ts'
import { memoryHarness } from './harnesses.ts'
import { flow } from './sabotages/flow.ts'
import { positions } from './sabotages/positions.ts'
import { sabotaged, type Sabotages } from './sabotages/sabotage.ts'
import { server } from './sabotages/server.ts'
import { writing } from './sabotages/writing.ts'

const sabotages: Sabotages = { ...writing, ...positions, ...flow, ...server }

/** The one case whose name begins like this. */
function named(beginning: string): ConformanceCase {
  const found = conformanceCases.filter(each => each.name.startsWith(beginning))
  expect(found, `exactly one case begins with '${beginning}'`).toHaveLength(1)
  return found[0]!
}

describe('the suite finds out that', () => {
  test.concurrent.for(Object.entries(sabotages))('%s', async ([, [sabotage, ...beginnings]], context) => {
    const cases = beginnings.map(named)
    const results = await runConformance(sabotaged(sabotage), { cases })
    const seen = results.map(({ case: title, status }) => `${status} ${title}`)
    context.expect(seen).toEqual(cases.map(each => `fail ${titleOf(each)}`))
  })
})

// A broken driver is not what the cases of whole pipelines are about.
test('every driver case that applies to the memory backend can fail: some sabotage shows it', () => {
  const harness = memoryHarness()
  const shown = new Set(
    Object.values(sabotages).flatMap(([, ...beginnings]) => beginnings.map(each => titleOf(named(each))))
  )
  const ofPipelines = ['pipeline', 'retries', 'schemas']
  const applying = conformanceCases.filter(
    each => !ofPipelines.includes(each.group) && each.applies(harness.capabilities, harness) === true
  )
  expect(applying.map(titleOf).filter(title => !shown.has(title))).toEqual([])
})
