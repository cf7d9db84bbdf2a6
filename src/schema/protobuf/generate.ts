import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { StreamError } from '../../core/errors.ts'
import { describeFile, type Options, type ParsedFile } from './descriptor.ts'
import { loadParser, type FileDescriptor, type Protobufjs } from './peer.ts'
import { printProto } from './print.ts'

/** A file as the plugin hands it out. */
export interface GeneratedModule {
  /** Path below the folder for modules: `common/side_pb.ts`. */
  readonly name: string
  readonly content: string
}

const plugin = '@bufbuild/protoc-gen-es'
const install = "npm install --save-dev @bufbuild/protoc-gen-es@2, and '@bufbuild/protobuf' of the same version"

type Root = InstanceType<Protobufjs['Root']>

/**
 * Modules for `.proto` files and for all that they import, but for those of `google/protobuf/`, which `@bufbuild/protobuf` has. The plugin
 * writes them; this does what the compiler does before: parse, resolve, describe.
 *
 * Throws `peer-missing`, `bad-schema`, and `bad-config` for a file outside of the folders.
 *
 * @param folders where imports are looked for, in their order
 * @param parameter of the plugin: `target=ts`
 */
export async function generateModules(
  files: readonly string[],
  folders: readonly string[],
  parameter: string
): Promise<readonly GeneratedModule[]> {
  const command = await pluginCommand()
  const parser = await loadParser()
  const { fromJson, fromBinary, toBinary } = await import('@bufbuild/protobuf')
  const known = await import('@bufbuild/protobuf/wkt')
  const sources = await Sources.read(parser, files, folders, Object.values<unknown>(known).filter(isFile))
  const request = fromJson(known.CodeGeneratorRequestSchema, {
    fileToGenerate: sources.parsed.map(({ name }) => name),
    parameter
  })
  for (const file of sources.common) request.protoFile.push(file.proto as (typeof request.protoFile)[number])
  for (const file of sources.parsed) {
    const descriptor = describeFile(sources.root, file) as Parameters<typeof fromJson>[1]
    request.protoFile.push(fromJson(known.FileDescriptorProtoSchema, descriptor, { ignoreUnknownFields: true }))
  }
  const answer = await ask(command, toBinary(known.CodeGeneratorRequestSchema, request))
  const { error, file } = fromBinary(known.CodeGeneratorResponseSchema, answer)
  if (error) throw new StreamError('bad-schema', `${plugin}: ${error}`)
  return file.map(({ name, content }) => ({ name, content }))
}

function isFile(value: unknown): value is FileDescriptor {
  return (value as { kind?: string } | undefined)?.kind === 'file'
}

/** The files, each once, those that others import first. */
class Sources {
  readonly parsed: ParsedFile[] = []
  readonly common: FileDescriptor[] = []
  readonly root: Root
  readonly #parser: Protobufjs
  readonly #folders: readonly string[]
  readonly #known: ReadonlyMap<string, FileDescriptor>
  readonly #state = new Map<string, 'open' | 'done'>()

  private constructor(parser: Protobufjs, folders: readonly string[], known: readonly FileDescriptor[]) {
    this.#parser = parser
    this.root = new parser.Root()
    this.#folders = folders
    this.#known = new Map(known.map(file => [`${file.name}.proto`, file]))
  }

  static async read(
    parser: Protobufjs,
    files: readonly string[],
    folders: readonly string[],
    known: readonly FileDescriptor[]
  ): Promise<Sources> {
    const sources = new Sources(parser, folders, known)
    for (const file of files) await sources.#add(nameIn(folders, file))
    try {
      sources.root.resolveAll()
    } catch (error) {
      throw new StreamError('bad-schema', `Protobuf schema: ${(error as Error).message}`, { cause: error })
    }
    return sources
  }

  async #add(name: string, from?: string): Promise<void> {
    if (this.#state.get(name) === 'done') return
    if (this.#state.has(name))
      throw new StreamError('bad-schema', `Protobuf schema: '${name}' imports itself, by '${from}'`)
    this.#state.set(name, 'open')
    const text = await this.#text(name)
    const known = this.#known.get(name)
    if (text !== undefined) {
      const file = this.#parse(name, text)
      for (const path of file.imports) await this.#add(path, name)
      this.parsed.push(file)
    } else if (known) {
      for (const dependency of known.dependencies) await this.#add(`${dependency.name}.proto`, name)
      this.#parse(name, printProto(known.proto))
      this.common.push(known)
    } else
      throw new StreamError(
        'bad-config',
        `'${name}'${from === undefined ? '' : `, which '${from}' imports,`} is not in ${this.#folders.join(', ')}`
      )
    this.#state.set(name, 'done')
  }

  async #text(name: string): Promise<string | undefined> {
    if (this.#known.has(name)) return undefined
    if (isAbsolute(name) || name.split('/').includes('..'))
      throw new StreamError('bad-schema', `Protobuf schema: the import '${name}' is no path below a folder`)
    for (const folder of this.#folders) {
      try {
        return await readFile(join(folder, name), 'utf8')
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      }
    }
    return undefined
  }

  #parse(name: string, text: string): ParsedFile {
    const syntax = syntaxOf(text)
    if (syntax !== 'proto2' && syntax !== 'proto3')
      throw new StreamError('bad-schema', `Protobuf schema: '${name}': edition ${syntax} needs protoc or buf`)
    if (losesEscape(text))
      throw new StreamError('bad-schema', `Protobuf schema: '${name}': defaults with an escape need protoc or buf`)
    this.#parser.parse.filename = name
    try {
      const result = this.#parser.parse(text, this.root, { keepCase: true, alternateCommentMode: true })
      const imports = [...(result.imports ?? []), ...(result.weakImports ?? [])]
      const marked = new Set([...text.matchAll(/^\s*import\s+public\s*["']([^"']+)["']/gm)].map(([, path]) => path))
      const options = { ...takeOptions(this.root), ...takeOptions(this.#package(result.package)) }
      return {
        name,
        package: result.package,
        syntax,
        imports,
        publicImports: imports.filter(path => marked.has(path)),
        options
      }
    } catch (error) {
      throw new StreamError('bad-schema', `Protobuf schema: '${name}': ${(error as Error).message}`, { cause: error })
    } finally {
      this.#parser.parse.filename = null
    }
  }

  #package(name: string | undefined): object | undefined {
    return name === undefined
      ? undefined
      : (this.root as unknown as { lookup(path: string): object }).lookup(`.${name}`)
  }
}

/** The parser keeps options of a file with its package, which other files have too. */
function takeOptions(namespace: object | undefined): Options {
  const holder = (namespace ?? {}) as { options?: Options }
  const { options = {} } = holder
  delete holder.options
  return options
}

/** The parser drops escapes but these few, without a word, which would change a default. */
function losesEscape(text: string): boolean {
  const escapes = [...text.matchAll(/\\([^])/g)]
  return /\bdefault\s*=\s*["']/.test(text) && escapes.some(([, escaped]) => !'rnt\\'.includes(escaped!))
}

/** `proto2`, `proto3`, or the name of an edition. The parser does not tell; the statement is the first of a file. */
function syntaxOf(text: string): string {
  const statement = /^\uFEFF?(?:\s|\/\/[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)*(?:syntax|edition)\s*=\s*["']([^"']*)["']/.exec(
    text
  )
  return statement?.[1] ?? 'proto2'
}

function nameIn(folders: readonly string[], file: string): string {
  for (const folder of folders) {
    const path = relative(resolve(folder), resolve(file))
    if (!path.startsWith('..') && !isAbsolute(path)) return path.split(sep).join('/')
  }
  throw new StreamError('bad-config', `'${file}' is not in ${folders.join(', ')}`)
}

/** Where the plugin is. */
async function pluginCommand(): Promise<string> {
  try {
    const manifest = createRequire(import.meta.url).resolve(`${plugin}/package.json`)
    const { bin } = JSON.parse(await readFile(manifest, 'utf8')) as { bin: Readonly<Record<string, string>> }
    await import('@bufbuild/protobuf')
    return join(dirname(manifest), bin['protoc-gen-es']!)
  } catch (error) {
    throw new StreamError('peer-missing', `modules for .proto files need the package '${plugin}': ${install}`, {
      cause: error
    })
  }
}

/** Runs the plugin: a request on its input, a response on its output. */
function ask(command: string, request: Uint8Array): Promise<Uint8Array> {
  return new Promise((done, failed) => {
    const options = { encoding: 'buffer', maxBuffer: 256 * 1024 * 1024 } as const
    const child = execFile(process.execPath, [command], options, (error, output, errors) => {
      if (error)
        failed(
          new StreamError('bad-schema', `${plugin}: ${errors.toString().trim() || error.message}`, { cause: error })
        )
      else done(output)
    })
    // An exit before all is read is told of by the callback.
    child.stdin!.on('error', () => {})
    child.stdin!.end(request)
  })
}
