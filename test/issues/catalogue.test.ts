/** docs/neighbours.md: each complaint has a test that is there, or the reason why it cannot happen here. */
import { existsSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const root = new URL('../../', import.meta.url)
const page = readFileSync(new URL('docs/neighbours.md', root), 'utf8')
const rows = page
  .split('\n')
  .filter(line => /^\| [A-Z]/.test(line))
  .map(line => line.split('|').map(cell => cell.trim()))
  .map(([, complaint = '', source = '', here = '']) => ({ complaint, source, here }))

it('has all of them', () => {
  expect(rows.length).toBeGreaterThan(55)
  expect(new Set(rows.map(({ complaint }) => complaint)).size).toBe(rows.length)
})

it.each(rows)('$complaint ($source)', ({ source, here }) => {
  expect(source).toMatch(/#\d+|[A-Z]+-\d+|^questions about/)
  const shown = [...here.matchAll(/`((?:test|src\/testing)\/[^`]+\.ts)`: "([^"]+)"/g)]
  if (shown.length === 0) expect(here).toMatch(/^Not here.{30}/)
  for (const [, path, title] of shown) {
    expect(existsSync(new URL(path!, root)), path).toBe(true)
    expect(readFileSync(new URL(path!, root), 'utf8'), `${path} has no test of that name`).toContain(title)
  }
})
