import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { run } from '../../src/cli/run.ts'
import { fileRegistry } from '../../src/schema/index.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-cli-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function tidemark(
  words: readonly string[],
  variables: Record<string, string> = {}
): Promise<[number, string, string]> {
  const [out, errors]: [string[], string[]] = [[], []]
  const code = await run(words, { out: line => out.push(line), error: line => errors.push(line), variables })
  return [code, out.join('\n'), errors.join('\n')]
}

const file = async (name: string, content: unknown): Promise<string> => {
  const path = join(folder, name)
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content))
  return path
}
const trade = (...fields: object[]): object => ({ type: 'record', name: 'Trade', fields })
const cents = { name: 'cents', type: 'long' }
const venue = { name: 'venue', type: 'string' }

test('schema check against a registry: the field, the rule, the fix, and the exit code', async () => {
  const schemas = join(folder, 'schemas')
  await fileRegistry(schemas).register('trades-value', { type: 'AVRO', schema: JSON.stringify(trade(cents)) })
  const broken = await file('trades-value.avsc', trade(cents, venue))
  expect(await tidemark(['schema', 'check', broken, '--registry', schemas])).toEqual([
    1,
    `refused  ${broken}: subject 'trades-value', backward\n` +
      "  - field 'Trade.venue' is not written, and has no default for the reader (backward: the new schema must read version 1); " +
      'give it a default, or an alias if it was renamed',
    ''
  ])
  const good = await file('next.avsc', trade(cents, { ...venue, default: '' }))
  const words = ['schema', 'check', good, '--subject', 'trades-value']
  expect(await tidemark(words, { TIDEMARK_REGISTRY: schemas })).toEqual([
    0,
    `ok       ${good}: subject 'trades-value', backward`,
    ''
  ])
  const [code, out] = await tidemark(['schema', 'check', broken, good, '--registry', schemas, '--json'])
  expect([code, out.split('\n').map(line => JSON.parse(line).compatible)]).toEqual([1, [false, true]])
})

test('schema check against files', async () => {
  const [one, two, three] = [
    await file('1.avsc', trade(cents)),
    await file('2.avsc', trade(cents, { ...venue, default: '' })),
    await file('3.avsc', trade({ ...venue, default: '' }))
  ]
  const against = ['--against', one, '--against', two]
  expect((await tidemark(['schema', 'check', three, ...against]))[0]).toBe(0)
  const [code, out] = await tidemark(['schema', 'check', three, ...against, '--compatibility', 'full-transitive'])
  expect(code).toBe(1)
  expect(out).toContain(
    "field 'Trade.cents' is not written, and has no default for the reader (forward: version 1 must read the new schema)"
  )
  const proto = await file('a.proto', 'syntax = "proto3"; message M { int32 a = 1; }')
  const changed = await file('b.proto', 'syntax = "proto3"; message M { string a = 1; }')
  expect((await tidemark(['schema', 'check', changed, '--against', proto]))[0]).toBe(1)
  const json = await file('a.json', { type: 'string' })
  expect((await tidemark(['schema', 'check', json, '--against', json]))[0]).toBe(0)
})

test('wrong calls say what is wrong, and how it goes', async () => {
  const path = await file('a.avsc', '"string"')
  for (const words of [
    ['schema', 'check'],
    ['schema', 'check', path],
    ['schema', 'check', path, '--nope'],
    ['schema', 'check', path, '--compatibility', 'full', '--registry', 'x'],
    ['schema', 'check', join(folder, 'missing.avsc'), '--registry', folder],
    ['schema', 'check', join(folder, 'a.txt'), '--registry', folder]
  ]) {
    const [code, , errors] = await tidemark(words)
    expect([code, errors]).toEqual([2, expect.stringContaining('usage: tidemark schema check')])
  }
  expect((await tidemark(['schema', 'check', path, '--against', path, '--compatibility', 'sideways']))[0]).toBe(2)
  expect((await tidemark(['nope']))[0]).toBe(2)
  expect((await tidemark([]))[0]).toBe(0)
  expect((await tidemark(['schema', 'check', '--help']))[1]).toContain('Exit code')
})

test('a registry that is not there, a file that is no schema', async () => {
  const path = await file('a.avsc', '"string"')
  const [code, , errors] = await tidemark(['schema', 'check', path, '--registry', 'http://127.0.0.1:1'])
  expect([code, errors]).toEqual([3, expect.stringContaining('schema registry 127.0.0.1:1')])
  expect((await tidemark(['schema', 'check', await file('b.avsc', '{'), '--registry', folder]))[0]).toBe(3)
})

test('schema generate writes literals', async () => {
  const [code, out] = await tidemark(['schema', 'generate', await file('trade-event.avsc', trade(cents))])
  expect(code).toBe(0)
  expect(out).toContain('export const tradeEvent = {\n  "type": "record",')
  expect(out).toMatch(/} as const$/)
  expect((await tidemark(['schema', 'generate', await file('bad.avsc', { type: 'record' })]))[0]).toBe(3)
})
