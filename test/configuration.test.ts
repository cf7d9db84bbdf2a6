/** `docs/configuration.md` against the code: no option without a line, no default that has moved. */
import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { adapters } from '../src/adapters/index.ts'
import { upperSnake, type OptionTable } from '../src/core/options.ts'
import { defaultSettings, runSettings } from '../src/pipeline/index.ts'

const page = await readFile(new URL('../docs/configuration.md', import.meta.url), 'utf8')
const sections = new Map(page.split(/^## /m).map(text => [text.slice(0, text.indexOf('\n')).replaceAll('`', ''), text]))

/** Cells of the row whose first cell names the option. */
function row(section: string, option: string): string[] {
  const found = sections
    .get(section)
    ?.split('\n')
    .find(line => line.startsWith('|') && line.split('|')[1]!.includes(`\`${option}\``))
  expect(found, `docs/configuration.md, section ${section}: no line for '${option}'`).toBeDefined()
  return found!.split('|').map(cell => cell.trim())
}

const names = (table: OptionTable, prefix = ''): string[] =>
  Object.entries(table).flatMap(([name, { inside }]) =>
    inside ? names(inside, `${prefix}${name}.`) : [`${prefix}${name}`]
  )

describe('docs/configuration.md', () => {
  it.each(Object.entries(defaultSettings))('has the run option %s with its variable and its default', (name, value) => {
    const cells = row('client.run', name)
    expect(cells[2]).toBe(`\`TIDEMARK_RUN__${upperSnake(name)}\``)
    expect(cells[3]!.replaceAll('`', '')).toBe(value.toLocaleString('en-US'))
  })

  it.each(Object.keys(adapters) as (keyof typeof adapters)[])('has every option of the adapter %s', async adapter => {
    const { options } = await adapters[adapter]()
    for (const name of names(options)) row(`${adapter}:`, name)
  })
})

describe('options of a run', () => {
  it('that are unknown or do not fit are errors', () => {
    expect(() => runSettings({ comitInterval: 5 } as object)).toThrow(
      /run: unknown option 'comitInterval'; known are guarantee/
    )
    expect(() => runSettings({ commitInterval: 0 })).toThrow(/'commitInterval' must be above 0/)
    expect(() => runSettings({ guarantee: 'exactly_once' as never })).toThrow(
      /'guarantee' must be one of exactly-once, at-least-once, got 'exactly_once'/
    )
    expect(runSettings({ commitInterval: 5, signal: new AbortController().signal })).toEqual({
      ...defaultSettings,
      commitInterval: 5
    })
  })
})
