import { expect, test } from 'vitest'
import { memoryCapabilities } from '../../src/adapters/memory/index.ts'
import type { CaseResult } from '../../src/testing/conformance/index.ts'
import { gradesOf } from '../../scripts/guarantees/grades.ts'
import { type MatrixRow, renderGuarantees } from '../../scripts/guarantees/render.ts'
import { printMatrix } from '../../scripts/matrix/print.ts'

const result = (backend: string, title: string, status: CaseResult['status'], reason?: string): CaseResult => ({
  backend,
  case: title,
  status,
  reason,
  milliseconds: 1
})

test('the matrix is a row per case, with every reason and the totals', () => {
  const lines: string[] = []
  const results = [
    result('memory', 'order: kept', 'pass'),
    result('memory', 'order: broken', 'fail', 'it was 2'),
    result('kafka', 'order: kept', 'not run', 'there is no Java'),
    result('kafka', 'order: broken', 'not applicable', 'no order')
  ]
  printMatrix(results, line => lines.push(line))
  expect(lines.map(line => line.replace(/ +/g, ' '))).toEqual([
    'case memory kafka',
    '------------- ------- -------',
    'order: kept pass NOT RUN',
    'order: broken FAIL n/a',
    '\nnot applicable',
    '- kafka: no order (order: broken)',
    '\nnot run',
    '- kafka: there is no Java (order: kept)',
    '\nfail',
    '- order: broken\n memory: it was 2',
    '',
    'memory: 1 pass, 1 fail, 0 not applicable, 0 not run',
    'kafka: 0 pass, 0 fail, 1 not applicable, 1 not run'
  ])
})

test('grades: native only on a network broker with transactions that readers can see the end of', () => {
  const network = { ...memoryCapabilities, scope: 'network' as const }
  expect(gradesOf(network)).toMatchObject({ state: 'N', readByUs: 'N', readByOthers: 'N' })
  expect(gradesOf(memoryCapabilities)).toMatchObject({ state: 'S', readByUs: 'S', readByOthers: 'A' })
  expect(gradesOf({ ...network, readCommitted: false })).toMatchObject({ readByUs: 'S', readByOthers: 'A' })
  expect(gradesOf({ ...memoryCapabilities, transactions: false, scope: 'network' })).toMatchObject({
    state: 'S',
    readByUs: 'S',
    readByOthers: 'A',
    condition: expect.stringContaining('that all workers share')
  })
})

test('the page names every case, also one that the matrix does not know, and never calls it passed', () => {
  const matrix: MatrixRow[] = [
    { backend: 'one', case: 'order: kept', status: 'pass' },
    { backend: 'two', case: 'order: kept', status: 'fail', reason: 'it was 2\nand more' }
  ]
  const backends = ['one', 'two'].map(name => ({ name, capabilities: memoryCapabilities }))
  const page = renderGuarantees(backends, matrix, ['order: kept', 'order: new'])
  expect(page).toContain('| kept | pass | fail (1) |')
  expect(page).toContain('| new | not run (2) | not run (2) |')
  expect(page).toContain('1. two: fail: it was 2\n2. one, two: not run: the last matrix does not have this case')
  expect(page).toContain('one: 1 pass, 1 not run. two: 1 fail, 1 not run.')
  expect(page).not.toContain('and more')
})
