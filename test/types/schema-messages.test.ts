import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'

// What a wrong payload is told by the compiler, and what the types of many schemas cost it.

const root = fileURLToPath(new URL('../../', import.meta.url))
let folder: string
beforeEach(async () => {
  // Inside the repository, so that packages are found.
  folder = await mkdtemp(join(root, 'node_modules', '.types-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function compile(source: string): Promise<{ messages: string[]; checkSeconds: number }> {
  await writeFile(join(folder, 'main.ts'), source)
  const config = {
    extends: '../../tsconfig.json',
    compilerOptions: { noEmit: true, incremental: false },
    include: ['main.ts']
  }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config))
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const output = await new Promise<string>(resolve =>
    execFile(process.execPath, [tsc, '-p', folder, '--extendedDiagnostics'], (_, out) => resolve(out))
  )
  const messages = output.split('\n').flatMap(line => /main\.ts\(\d+,\d+\): error TS\d+: (.*)/.exec(line)?.[1] ?? [])
  return { messages, checkSeconds: Number(/Check time:\s*([\d.]+)s/.exec(output)?.[1]) }
}

const head = `import { avro } from '../../src/schema/index.ts'\n`

test('the message names the field, and what it takes', async () => {
  const trade = `const trade = avro({ type: 'record', name: 'Trade', fields: [
    { name: 'symbol', type: 'string' }, { name: 'cents', type: 'long' },
    { name: 'side', type: { type: 'enum', name: 'Side', symbols: ['BUY', 'SELL'] } },
    { name: 'note', type: ['null', 'string'], default: null },
    { name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' } }
  ] })\n`
  const { messages } = await compile(`${head}${trade}
    trade.encode({ symbol: 'A', cents: 5n, side: 'BUY', note: null, at: new Date() })
    trade.encode({ symbol: 'A', cents: 5, side: 'BUY', note: null, at: new Date() })
    trade.encode({ symbol: 'A', cents: 5n, side: 'HOLD', note: null, at: new Date() })
    trade.encode({ symbol: 'A', cents: 5n, side: 'BUY', note: null, at: 5 })
    trade.encode({ symbol: 'A', cents: 5n, side: 'BUY', at: new Date() })
    trade.encode({ symbol: 'A', cents: 5n, side: 'BUY', note: null, at: new Date(), extra: 1 })
  `)
  const all = '\'{ at: Date; cents: bigint; note: string | null; side: "BUY" | "SELL"; symbol: string; }\''
  expect(messages).toEqual([
    "Type 'number' is not assignable to type 'bigint'.",
    'Type \'"HOLD"\' is not assignable to type \'"BUY" | "SELL"\'.',
    "Type 'number' is not assignable to type 'Date'.",
    `Property 'note' is missing in type '{ symbol: string; cents: bigint; side: "BUY"; at: Date; }' but required in type ${all}.`,
    `Object literal may only specify known properties, and 'extra' does not exist in type ${all}.`
  ])
}, 60_000)

test('two hundred schemas of ten fields, and how long the compiler takes for them', async () => {
  const schema = (
    index: number
  ): string => `export const value${index} = avro({ type: 'record', name: 'R${index}', namespace: 'com.example', fields: [
    { name: 'a', type: 'string' }, { name: 'b', type: 'long' }, { name: 'c', type: ['null', 'int', 'string'] },
    { name: 'd', type: { type: 'array', items: { type: 'record', name: 'I${index}', fields: [{ name: 'next', type: ['null', 'R${index}'] }] } } },
    { name: 'e', type: { type: 'map', values: 'double' } }, { name: 'f', type: { type: 'enum', name: 'E${index}', symbols: ['A', 'B'] } },
    { name: 'g', type: 'com.example.E${index}' }, { name: 'h', type: { type: 'fixed', name: 'F${index}', size: 4 } },
    { name: 'i', type: { type: 'int', logicalType: 'date' } }, { name: 'j', type: 'boolean' }
  ] })
  value${index}.encode({ a: '', b: 1n, c: null, d: [{ next: null }], e: {}, f: 'A', g: 'B', h: new Uint8Array(4), i: new Date(), j: true })`
  const { checkSeconds: none } = await compile(head)
  const { messages, checkSeconds } = await compile(
    head + Array.from({ length: 200 }, (_, index) => schema(index)).join('\n')
  )
  // An exported recursive type has to be named by its author, where declarations are checked one file at a time.
  expect(messages.filter(message => !message.includes('isolatedDeclarations'))).toEqual([])
  console.log(`200 schemas of ten fields: check time ${checkSeconds} s, ${none} s without them`)
  expect(checkSeconds - none).toBeLessThan(20)
}, 120_000)
