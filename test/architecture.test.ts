/** The table of `ARCHITECTURE.md`, held. Each failure is a sentence that names the file, the import and the rule. */
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { brokenDeterminism, brokenImports, cycles, layerOf, layers, maxLines, tooLong } from './architecture/rules.ts'
import { parseSource, readSources } from './architecture/source-file.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const files = readSources(root, 'src')

describe('the sources', () => {
  it('are found', () => {
    expect(files.length).toBeGreaterThan(100)
    expect(files.flatMap(file => file.imports).length).toBeGreaterThan(300)
    for (const layer of ['core', 'pipeline', 'connect', 'index', 'adapters/memory'])
      expect(
        files.some(file => layerOf(file.path) === layer),
        `no file of layer '${layer}'`
      ).toBe(true)
  })

  it('import only what their layer may import, and vendor packages lazily, at home', () => {
    expect(files.flatMap(brokenImports)).toEqual([])
  })

  it('import nothing that is not there', () => {
    const known = new Set(files.map(file => file.path))
    const missing = files.flatMap(file =>
      file.imports.flatMap(({ target, line }) =>
        target === undefined || known.has(target)
          ? []
          : [`${file.path}:${line} imports ${target}, which does not exist`]
      )
    )
    expect(missing).toEqual([])
  })

  it('have no import cycles but those of types', () => {
    expect(cycles(files)).toEqual([])
  })

  it('take time, timers and randomness from the Environment where law 9 asks for it', () => {
    expect(files.flatMap(brokenDeterminism)).toEqual([])
  })

  it(`have at most ${maxLines} lines each`, () => {
    expect(files.flatMap(tooLong)).toEqual([])
  })

  it('re-export, and nothing else, in src/index.ts', () => {
    const index = files.find(file => file.path === 'src/index.ts')!
    const statements = index.code
      .split(/\n(?=\S)/)
      .filter(statement => statement.trim() !== '' && !/^[}\s]/.test(statement))
    expect(statements.filter(statement => !/^export (?:type )?\{/.test(statement))).toEqual([])
  })
})

// The rules must be able to fail: each is shown something that breaks it.
describe('the rules', () => {
  const imports = (path: string, text: string): string[] => brokenImports(parseSource(path, text))

  it('refuse an import across the table, in every form that an import has', () => {
    for (const text of [
      "import { run } from '../pipeline/run.ts'",
      "import type { Run } from '../pipeline/run.ts'",
      "import {\n  type Run,\n  run\n} from '../pipeline/run.ts'",
      "export { run } from '../pipeline/run.ts'",
      "export * as runs from '../pipeline/run.ts'",
      "import '../pipeline/run.ts'",
      "const run = await import('../pipeline/run.ts')",
      "let run: typeof import('../pipeline/run.ts')"
    ])
      expect(imports('src/core/record.ts', `const first = 1\n${text}\n`), text).toEqual([
        "src/core/record.ts:2 imports src/pipeline/run.ts, but 'core' may import nothing of ours, not 'pipeline'"
      ])
  })

  it('know the table', () => {
    expect(imports('src/broker/sender.ts', "import { step } from '../exactly-once/index.ts'")).toHaveLength(1)
    expect(imports('src/broker/sender.ts', "import { topic } from '../core/topic.ts'")).toEqual([])
    expect(imports('src/adapters/kafka/client.ts', "import { file } from '../file/index.ts'")).toHaveLength(1)
    expect(imports('src/adapters/kafka/client.ts', "import { loadPeer } from '../shared/load-peer.ts'")).toEqual([])
    expect(imports('src/adapters/index.ts', "import { kafka } from './kafka/index.ts'")).toHaveLength(1)
    expect(imports('src/adapters/index.ts', "import type { KafkaOptions } from './kafka/index.ts'")).toEqual([])
    expect(imports('src/sqlite.ts', "import type { Run } from './pipeline/run.ts'")).toEqual([])
    expect(imports('src/sqlite.ts', "import { run } from './pipeline/run.ts'")).toHaveLength(1)
    expect(imports('src/cli/top.ts', "import { Run } from '../pipeline/run.ts'")).toHaveLength(1)
    expect(imports('src/helpers.ts', '')).toHaveLength(1)
    for (const { mayImport } of Object.values(layers))
      for (const name of mayImport) expect(Object.hasOwn(layers, name) || name.startsWith('adapters/'), name).toBe(true)
  })

  it('refuse vendor packages that are eager, away from home, or unknown', () => {
    expect(imports('src/adapters/kafka/client.ts', "import { Kafka } from 'kafkajs'")).toHaveLength(1)
    expect(imports('src/adapters/kafka/client.ts', "import type { Kafka } from 'kafkajs'")).toHaveLength(1)
    expect(imports('src/adapters/kafka/client.ts', "const { Kafka } = await import('kafkajs')")).toEqual([])
    expect(imports('src/adapters/file/client.ts', "const { Kafka } = await import('kafkajs')")).toHaveLength(1)
    expect(imports('src/core/record.ts', "import lodash from 'lodash'")).toHaveLength(1)
    expect(imports('src/core/record.ts', "import { join } from 'node:path'")).toEqual([])
  })

  it('are not fooled by comments, strings, templates and regular expressions', () => {
    const text = [
      '/** import { run } from "../pipeline/run.ts" */',
      "// import { run } from '../pipeline/run.ts'; Date.now()",
      'const text = \'import("../pipeline/run.ts")\'',
      "const nested = `${`${'x'}`} import('../pipeline/run.ts') ${{ a: 1 }.a} Date.now()`",
      "const pattern = /['\"/*]import\\('..\\/pipeline'\\)/",
      'const half = 4 / 2 / 1'
    ].join('\n')
    expect(imports('src/core/record.ts', text)).toEqual([])
    expect(brokenDeterminism(parseSource('src/core/record.ts', text))).toEqual([])
    expect(brokenDeterminism(parseSource('src/core/record.ts', `${text}\nconst a = \`\${Date.now()}\``))).toHaveLength(
      1
    )
  })

  it('refuse the clock and the dice of the process, but in core/environment.ts', () => {
    const text = 'setTimeout(() => Math.random(), Date.now())'
    expect(brokenDeterminism(parseSource('src/pipeline/run.ts', text))).toHaveLength(3)
    expect(brokenDeterminism(parseSource('src/core/environment.ts', text))).toEqual([])
  })

  it('refuse a cycle of values and leave one of types', () => {
    const pair = (first: string): string[] =>
      cycles([
        parseSource('src/core/a.ts', `${first} from './b.ts'`),
        parseSource('src/core/b.ts', "import { a } from './a.ts'")
      ])
    expect(pair('import { b }')).toHaveLength(1)
    expect(pair('import { type B }')).toHaveLength(1)
    expect(pair('import type { B }')).toEqual([])
  })

  it('refuse a file that is too long', () => {
    expect(tooLong(parseSource('src/core/a.ts', 'const a = 1\n'.repeat(maxLines)))).toEqual([])
    expect(tooLong(parseSource('src/core/a.ts', 'const a = 1\n'.repeat(maxLines + 1)))).toHaveLength(1)
  })
})
