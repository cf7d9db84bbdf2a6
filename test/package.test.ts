/** The package as users get it: packed, installed without any optional peer, compiled against, run on the oldest Node. */
import { existsSync } from 'node:fs'
import { cp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nodeOfVersion } from './package/old-node.ts'
import { linkNodeTypes, pack, root, run, tsc, type PackedPackage } from './package/packed.ts'

type Exports = Readonly<Record<string, string | Readonly<Record<string, string>>>>

interface Manifest {
  readonly exports: Exports
  readonly bin?: Readonly<Record<string, string>>
  readonly engines: { readonly node: string }
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>
}

describe('the package', { timeout: 240_000 }, () => {
  let packed: PackedPackage
  let manifest: Manifest

  beforeAll(async () => {
    packed = await pack()
    manifest = JSON.parse(await readFile(join(packed.installed, 'package.json'), 'utf8')) as Manifest
  }, 240_000)
  afterAll(async () => packed?.[Symbol.asyncDispose]())

  it('brings no other package with it', async () => {
    const names = (await readdir(join(packed.project, 'node_modules'))).filter(
      name => !name.startsWith('.') && name !== '@types'
    )
    expect(names).toEqual(['tidemark'])
    expect(manifest.dependencies ?? {}).toEqual({})
    for (const peer of Object.keys(manifest.peerDependencies))
      expect(manifest.peerDependenciesMeta[peer], peer).toEqual({ optional: true })
  })

  it('holds every file that its exports and commands name', () => {
    const paths = Object.values(manifest.exports).flatMap(entry =>
      typeof entry === 'string' ? [entry] : Object.values(entry)
    )
    paths.push(...Object.values(manifest.bin ?? {}))
    expect(paths.length).toBeGreaterThan(4)
    expect(paths.filter(path => !existsSync(join(packed.installed, path)))).toEqual([])
  })

  it('holds what a reader needs, and nothing of the workshop', async () => {
    const names = await readdir(packed.installed)
    expect(names).toEqual(
      expect.arrayContaining(['CHANGELOG.md', 'LICENSE', 'README.md', 'dist', 'docs', 'package.json'])
    )
    expect(
      names.filter(name =>
        ['src', 'test', 'bench', 'scripts', 'examples', 'testcontainers', 'node_modules'].includes(name)
      )
    ).toEqual([])
    const files = await readdir(packed.installed, { recursive: true })
    expect(files.filter(name => /(?<!\.d)\.ts$|\.test\.|\.tsbuildinfo$/.test(name))).toEqual([])
  })

  it('passes publint', async () => {
    const { messages, pkg } = await publint({ pkgDir: packed.staged, strict: true, pack: 'npm' })
    expect(messages.map(message => formatMessage(message, pkg))).toEqual([])
  })

  it('passes attw for a package of ES modules alone', async () => {
    const attw = join(root, 'node_modules', '@arethetypeswrong', 'cli', 'dist', 'index.js')
    const out = await run(packed.staged, process.execPath, [
      attw,
      packed.tarball,
      '--profile',
      'esm-only',
      '--format',
      'json',
      '--no-definitely-typed'
    ])
    const { analysis } = JSON.parse(out) as { analysis: { entrypoints: object; types: { kind: string } } }
    expect(analysis.types.kind).toBe('included')
    expect(Object.keys(analysis.entrypoints)).toEqual(Object.keys(manifest.exports))
  })

  describe('in a project without any optional peer', () => {
    const options = {
      target: 'ES2022',
      lib: ['ES2024', 'ESNext.Disposable'],
      module: 'NodeNext',
      types: ['node'],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      // Our declarations are checked, too, not only what is done with them.
      skipLibCheck: false
    }

    const compile = async (file: string, more: object = {}): Promise<string> => {
      const compilerOptions = { ...options, outDir: 'out', rootDir: '.', ...more }
      await writeFile(join(packed.project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: [file] }))
      return tsc(packed.project, ['-p', '.'])
    }

    beforeAll(async () => {
      await linkNodeTypes(packed.project)
      await cp(join(root, 'test', 'package', 'user.ts'), join(packed.project, 'user.ts'))
    })

    it("compiles a user's program", async () => {
      await compile('user.ts')
    })

    it('compiles it under the settings of a new project', async () => {
      await compile('user.ts', {
        target: 'ESNext',
        lib: undefined,
        exactOptionalPropertyTypes: false,
        noUncheckedIndexedAccess: false,
        noEmit: true
      })
    })

    it('refuses a program with a wrong payload', async () => {
      const wrong =
        "import { number, topic } from 'tidemark'\nexport const at = topic('abc', { value: number, eventTime: value => value.at })\n"
      await writeFile(join(packed.project, 'wrong.ts'), wrong)
      await expect(compile('wrong.ts', { noEmit: true })).rejects.toThrow(
        "Property 'at' does not exist on type 'number'"
      )
    })

    it('runs on the oldest Node that it is published for', async () => {
      await compile('user.ts')
      const version = /^>=(\d+\.\d+)$/.exec(manifest.engines.node)?.[1]
      const node = await nodeOfVersion(`${version}.0`)
      const out = await run(packed.project, node, ['out/user.js'], {
        ...process.env,
        NODE_NO_WARNINGS: '1',
        NODE_OPTIONS: ''
      })
      const expected = { rows: 1_000, cents: (999 * 1_000) / 2 }
      expect(JSON.parse(out)).toEqual({
        node: `v${version}.0`,
        memory: expected,
        file: expected,
        kafka: 'peer-missing',
        avro: 'peer-missing'
      })
    })

    it('gives every entry to an import on that Node', async () => {
      const node = await nodeOfVersion(`${/\d+\.\d+/.exec(manifest.engines.node)![0]}.0`)
      const names = Object.keys(manifest.exports).filter(name => name !== './package.json')
      const imports = names.map(name => `await import(${JSON.stringify(`tidemark${name.slice(1)}`)})`)
      // The adapters are loaded when a config names them; all of their code must at least parse and link here.
      const adapters = await readdir(join(packed.installed, 'dist', 'adapters'))
      for (const adapter of adapters.filter(name => !name.includes('.') && name !== 'shared'))
        imports.push(
          `await import(${JSON.stringify(pathToFileURL(join(packed.installed, 'dist', 'adapters', adapter, 'index.js')).href)})`
        )
      const program = `${imports.join('\n')}\nconsole.log('all')`
      expect(
        await run(packed.project, node, ['--input-type=module', '--eval', program], {
          ...process.env,
          NODE_NO_WARNINGS: '1'
        })
      ).toBe('all\n')
    })
  })
})
