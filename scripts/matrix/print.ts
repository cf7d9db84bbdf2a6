import type { CaseResult } from '../../src/testing/conformance/index.ts'

const marks = { pass: 'pass', fail: 'FAIL', 'not applicable': 'n/a', 'not run': 'NOT RUN' } as const

/** The table backend x case, the reasons behind it, and the totals. */
export function printMatrix(results: readonly CaseResult[], write: (line: string) => void = console.log): void {
  const backends = [...new Set(results.map(result => result.backend))]
  const titles = [...new Set(results.map(result => result.case))]
  const width = Math.max(4, ...titles.map(title => title.length))
  const row = (first: string, rest: readonly string[]): string =>
    `${first.padEnd(width)}  ${rest.map((text, index) => text.padEnd(Math.max(7, backends[index]!.length))).join('  ')}`.trimEnd()
  const find = (backend: string, title: string): CaseResult | undefined =>
    results.find(result => result.backend === backend && result.case === title)
  write(row('case', backends))
  write(
    row(
      '-'.repeat(width),
      backends.map(() => '-------')
    )
  )
  for (const title of titles) {
    write(
      row(
        title,
        backends.map(backend => {
          const result = find(backend, title)
          return result ? marks[result.status] : ''
        })
      )
    )
  }
  for (const status of ['not applicable', 'not run', 'fail'] as const) printReasons(results, status, write)
  write('')
  for (const backend of backends) write(`${backend}: ${totals(results.filter(result => result.backend === backend))}`)
}

/** One paragraph per backend and reason, so that a backend that was not run says so once. */
function printReasons(
  results: readonly CaseResult[],
  status: CaseResult['status'],
  write: (line: string) => void
): void {
  const groups = new Map<string, CaseResult[]>()
  for (const result of results) {
    if (result.status !== status) continue
    const stack = result.error instanceof Error ? result.error.stack : undefined
    const key = `${result.backend}: ${stack ?? result.reason ?? 'no reason was given'}`
    groups.set(key, [...(groups.get(key) ?? []), result])
  }
  if (groups.size === 0) return
  write(`\n${status}`)
  for (const [reason, group] of groups) {
    const titles = group.length > 5 ? [`${group.length} cases`] : group.map(result => result.case)
    if (status === 'fail') write(`- ${titles.join('; ')}\n  ${reason.replaceAll('\n', '\n  ')}`)
    else write(`- ${reason} (${titles.join('; ')})`)
  }
}

export function totals(results: readonly CaseResult[]): string {
  return (['pass', 'fail', 'not applicable', 'not run'] as const)
    .map(status => `${results.filter(result => result.status === status).length} ${status}`)
    .join(', ')
}
