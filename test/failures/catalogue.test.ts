/** The failure catalogue of docs/exactly-once.md: each number is there, and each test that it names exists. */
import { existsSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const root = new URL('../../', import.meta.url)
const page = readFileSync(new URL('docs/exactly-once.md', root), 'utf8')
const rows = [...page.matchAll(/^\| (F\d+) +\|(.*)\|(.*)\| *$/gm)].map(([, number, what, shown]) => ({
  number: number!,
  what: what!.trim(),
  shown: shown!.trim()
}))

it('has F1 to F21, once each and in order', () => {
  expect(rows.map(({ number }) => number)).toEqual(Array.from({ length: 21 }, (_, index) => `F${index + 1}`))
})

it.each(rows.map(({ number, what, shown }) => [number, what, shown] as const))('%s, %s', (number, what, shown) => {
  expect(what.length).toBeGreaterThan(10)
  const files = [...shown.matchAll(/`((?:test|models|chaos|simulation)\/[^`]+)`/g)].map(([, path]) => path!)
  // A refusal, or a test; of a refusal the reason is in the row.
  if (files.length === 0) expect(shown, number).toMatch(/^Refused: .{40}/)
  for (const path of files) expect(existsSync(new URL(path, root)), `${number}: ${path}`).toBe(true)
})
