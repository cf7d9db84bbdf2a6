import { readFile } from 'node:fs/promises'
import { basename, extname } from 'node:path'
import { parseArgs } from 'node:util'
import {
  checkCompatibility,
  confluentRegistry,
  fileRegistry,
  type Compatibility,
  type ManagedRegistry,
  type SchemaText
} from '../schema/index.ts'
import { UsageError, type ExitCode, type Terminal } from './terminal.ts'

export const schemaCheckUsage = `usage: tidemark schema check FILE... [--registry FOLDER|URL] [--subject NAME] [--json]
       tidemark schema check FILE --against OLDER... [--compatibility LEVEL] [--json]

Says whether the schemas in the files may be registered, and if not, which field breaks which rule, and the fix.
FILE is trades-value.avsc (Avro), .json (JSON Schema) or .proto (Protobuf); its name without the ending is the subject.

  --registry       a folder of fileRegistry(), or the URL of a registry with the API of Confluent's.
                   Default: TIDEMARK_REGISTRY. The header authorization comes from TIDEMARK_REGISTRY_AUTHORIZATION.
  --subject        the subject, for a single file
  --against        compares with this file in place of a registry; several times, oldest first
  --compatibility  backward (default), forward, full, each also with -transitive, or none; with --against
  --json           a line of JSON for each file

Exit code 0: all may be registered. 1: at least one may not. 2: wrong call. 3: it could not be found out.`

interface Verdict {
  readonly file: string
  readonly subject: string
  readonly compatibility: Compatibility
  readonly compatible: boolean
  readonly problems: readonly string[]
}

/** `tidemark schema check`. */
export async function schemaCheck(words: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const { values, positionals: files } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      registry: { type: 'string' },
      subject: { type: 'string' },
      against: { type: 'string', multiple: true },
      compatibility: { type: 'string' },
      json: { type: 'boolean', default: false }
    }
  })
  if (files.length === 0) throw new UsageError('no file is named')
  if (values.subject !== undefined && files.length > 1) throw new UsageError('--subject goes with one file')
  if (values.against && files.length > 1) throw new UsageError('--against goes with one file')
  if (values.compatibility !== undefined && !values.against)
    throw new UsageError('--compatibility goes with --against: a registry has rules of its own')
  const location = values.registry ?? terminal.variables['TIDEMARK_REGISTRY']
  if (!values.against && location === undefined) throw new UsageError('neither --registry nor --against is given')

  const registry = values.against ? undefined : open(location!, terminal.variables)
  let worst: ExitCode = 0
  try {
    for (const file of files) {
      const subject = values.subject ?? basename(file, extname(file))
      const schema = await read(file)
      const verdict = registry
        ? await ask(registry, file, subject, schema)
        : await compare(file, subject, schema, values.against!, values.compatibility as Compatibility | undefined)
      print(verdict, values.json, terminal)
      if (!verdict.compatible) worst = 1
    }
  } finally {
    await registry?.close?.()
  }
  return worst
}

function open(location: string, variables: Terminal['variables']): ManagedRegistry {
  if (!/^https?:/.test(location)) return fileRegistry(location)
  const authorization = variables['TIDEMARK_REGISTRY_AUTHORIZATION']
  return confluentRegistry({ url: location, ...(authorization !== undefined && { headers: { authorization } }) })
}

const types: Readonly<Record<string, SchemaText['type']>> = { '.avsc': 'AVRO', '.json': 'JSON', '.proto': 'PROTOBUF' }

async function read(file: string): Promise<SchemaText> {
  const type = types[extname(file)]
  if (!type) throw new UsageError(`'${file}' ends in none of ${Object.keys(types).join(', ')}`)
  try {
    return { type, schema: await readFile(file, 'utf8') }
  } catch (error) {
    throw new UsageError(`'${file}' cannot be read: ${(error as Error).message}`)
  }
}

async function ask(registry: ManagedRegistry, file: string, subject: string, schema: SchemaText): Promise<Verdict> {
  const problems = await registry.check(subject, schema)
  const compatibility = await registry.compatibility(subject)
  return { file, subject, compatibility, compatible: problems.length === 0, problems }
}

async function compare(
  file: string,
  subject: string,
  schema: SchemaText,
  older: readonly string[],
  compatibility: Compatibility = 'backward'
): Promise<Verdict> {
  const problems = await checkCompatibility(compatibility, schema, await Promise.all(older.map(read)))
  return { file, subject, compatibility, compatible: problems.length === 0, problems }
}

function print(verdict: Verdict, json: boolean, terminal: Terminal): void {
  if (json) return terminal.out(JSON.stringify(verdict))
  const { file, subject, compatibility, compatible, problems } = verdict
  terminal.out(`${compatible ? 'ok      ' : 'refused '} ${file}: subject '${subject}', ${compatibility}`)
  for (const problem of problems) terminal.out(`  - ${problem}`)
}
