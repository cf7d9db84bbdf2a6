import { sleep, systemEnvironment, type Environment } from '../../core/environment.ts'
import { asStreamError, StreamError } from '../../core/errors.ts'
import type { RegisteredSchema, SchemaRegistry } from '../../core/registry.ts'
import { fetchCache } from './cache.ts'
import { checkVersions } from './check-versions.ts'
import { parseCompatibility, type Compatibility, type SchemaText } from './compatibility.ts'
import { glueFraming } from './glue-framing.ts'

/** The part of the client `Glue` of `@aws-sdk/client-glue` that is used here. */
export interface GlueClient {
  createSchema(input: object): Promise<any>
  registerSchemaVersion(input: object): Promise<any>
  getSchemaVersion(input: object): Promise<any>
  getSchemaByDefinition(input: object): Promise<any>
  getSchema(input: object): Promise<any>
  updateSchema(input: object): Promise<any>
  destroy?(): void
}

export interface GlueRegistryOptions {
  /** The name of the Glue registry, which is there. */
  readonly registry: string
  /** Options of the client of `@aws-sdk/client-glue`: `region`, `endpoint`, `credentials`, `maxAttempts` and the like. */
  readonly client?: Readonly<Record<string, unknown>>
  /** A client `Glue` of yours in place of those options. It is not closed here. */
  readonly glue?: GlueClient
  /** The rule of subjects that are new. Default `backward`. */
  readonly compatibility?: Compatibility
  /** Schemas that are remembered. Default 1,000. */
  readonly cacheSize?: number
  readonly environment?: Environment
}

/** A Glue registry: a subject is a schema, an id is the id of a schema version. There are no references. */
export interface GlueRegistry extends SchemaRegistry {
  lookup(subject: string, schema: SchemaText): Promise<RegisteredSchema | undefined>
  compatibility(subject: string): Promise<Compatibility>
  setCompatibility(level: Compatibility, subject: string): Promise<void>
}

/**
 * The AWS Glue Schema Registry, with its own wire format: clients of AWS read records of ours, and the reverse. What breaks
 * a rule is found out here first, with the field and the fix; Glue then checks again.
 *
 * Needs the package `@aws-sdk/client-glue`, which retries by itself. Its keys come from where they always do on AWS.
 *
 * Errors: `bad-config`, `peer-missing`, `connection` (retryable), `unauthorized`, `bad-schema`, `unsupported` (references).
 *
 * @example
 * const registry = await glueRegistry({ registry: 'trading', client: { region: 'eu-central-1' } })
 */
export async function glueRegistry(options: GlueRegistryOptions): Promise<GlueRegistry> {
  if (typeof options.registry !== 'string' || options.registry === '')
    throw new StreamError('bad-config', "glueRegistry: option 'registry' is the name of a Glue registry")
  const { environment = systemEnvironment, registry: RegistryName, compatibility: initial = 'backward' } = options
  const name = `Glue registry ${RegistryName}`
  const glue = options.glue ?? (await createClient(options.client ?? {}))
  const cache = fetchCache<RegisteredSchema>(options.cacheSize ?? 1_000)
  const idOf = (subject: string): object => ({ RegistryName, SchemaName: subject })
  const call = async <Result>(doing: string, request: () => Promise<Result>): Promise<Result> => {
    try {
      return await request()
    } catch (error) {
      throw translated(error, `${name}: ${doing}`)
    }
  }
  /** Nothing when Glue says that it is not there. */
  const find = async (doing: string, request: () => Promise<any>): Promise<any> => {
    try {
      return await call(doing, request)
    } catch (error) {
      if (StreamError.is(error) && nameOf(error.cause) === 'EntityNotFoundException') return undefined
      throw error
    }
  }

  const registry: GlueRegistry = {
    name,
    framing: glueFraming,
    messages: 'position',
    byId: id =>
      cache.get(String(id), async () => {
        const found = await call(`schema ${id}`, () => glue.getSchemaVersion({ SchemaVersionId: String(id) }))
        return parse(found)
      }),
    async latest(subject) {
      const found = await find(`subject '${subject}'`, () =>
        glue.getSchemaVersion({ SchemaId: idOf(subject), SchemaVersionNumber: { LatestVersion: true } })
      )
      return found && parse(found)
    },
    async lookup(subject, schema) {
      const found = await find(`subject '${subject}'`, () =>
        glue.getSchemaByDefinition({ SchemaId: idOf(subject), SchemaDefinition: schema.schema })
      )
      return found?.Status === 'AVAILABLE' ? { ...schema, id: String(found.SchemaVersionId) } : undefined
    },
    async register(subject, schema) {
      if (schema.references)
        throw new StreamError('unsupported', `${name} has no references between schemas: put all types into one`)
      const known = await registry.lookup(subject, schema)
      if (known) return known
      const broken = await registry.check(subject, schema)
      if (broken.length > 0)
        throw new StreamError('bad-schema', `subject '${subject}' refuses the schema:\n- ${broken.join('\n- ')}`)
      const doing = `register a schema under '${subject}'`
      const version = await find(doing, () =>
        glue.registerSchemaVersion({ SchemaId: idOf(subject), SchemaDefinition: schema.schema })
      )
      const created =
        version ??
        (await call(doing, () =>
          glue.createSchema({
            RegistryId: { RegistryName },
            SchemaName: subject,
            DataFormat: schema.type,
            Compatibility: toGlue(initial),
            SchemaDefinition: schema.schema
          })
        ))
      const id = String(created.SchemaVersionId)
      await available(id, created.Status ?? created.SchemaVersionStatus)
      return { ...schema, id }
    },
    async check(subject, schema) {
      const level = await registry.compatibility(subject)
      const latest = await registry.latest(subject)
      return checkVersions(level, schema, latest ? (latest.version ?? 1) : 0, version => versionOf(subject, version))
    },
    async compatibility(subject) {
      const found = await find(`subject '${subject}'`, () => glue.getSchema({ SchemaId: idOf(subject) }))
      return found ? fromGlue(found.Compatibility) : initial
    },
    async setCompatibility(level, subject) {
      parseCompatibility(level)
      await call(`set the compatibility of '${subject}'`, () =>
        glue.updateSchema({
          SchemaId: idOf(subject),
          Compatibility: toGlue(level),
          SchemaVersionNumber: { LatestVersion: true }
        })
      )
    },
    close: async () => {
      if (!options.glue) glue.destroy?.()
    }
  }

  const versionOf = async (subject: string, version: number): Promise<RegisteredSchema | undefined> => {
    const found = await find(`version ${version} of subject '${subject}'`, () =>
      glue.getSchemaVersion({ SchemaId: idOf(subject), SchemaVersionNumber: { VersionNumber: version } })
    )
    return found?.Status === 'AVAILABLE' ? parse(found) : undefined
  }

  /** A new version is pending for a moment, while Glue checks it. */
  const available = async (id: string, first: unknown): Promise<void> => {
    let status = first
    for (let attempt = 0; status === 'PENDING' && attempt < 50; attempt++) {
      await sleep(environment, 100)
      status = (await call(`schema ${id}`, () => glue.getSchemaVersion({ SchemaVersionId: id }))).Status
    }
    if (status === 'AVAILABLE') return
    throw new StreamError('bad-schema', `${name}: the schema version ${id} is ${String(status)}: Glue refuses it`)
  }
  return registry
}

function parse(found: any): RegisteredSchema {
  return {
    id: String(found.SchemaVersionId),
    type: found.DataFormat,
    schema: String(found.SchemaDefinition),
    ...(typeof found.VersionNumber === 'number' && { version: found.VersionNumber })
  }
}

/** Glue says ALL where others say transitive. */
function toGlue(level: Compatibility): string {
  return level.toUpperCase().replace('-TRANSITIVE', '_ALL')
}

function fromGlue(level: unknown): Compatibility {
  if (level === 'DISABLED') return 'none'
  return parseCompatibility(String(level).toLowerCase().replace('_all', '-transitive'))
}

const denied: readonly string[] = ['AccessDeniedException', 'UnrecognizedClientException', 'ExpiredTokenException']
const unfit: readonly string[] = ['EntityNotFoundException', 'InvalidInputException', 'AlreadyExistsException']

function translated(error: unknown, doing: string): StreamError {
  const kind = nameOf(error)
  if (denied.includes(kind)) return asStreamError(error, 'unauthorized', doing)
  if (unfit.includes(kind)) return asStreamError(error, 'bad-schema', doing)
  return asStreamError(error, 'connection', doing, { retryable: true })
}

function nameOf(error: unknown): string {
  return String((error as { name?: unknown } | undefined)?.name ?? '')
}

async function createClient(options: object): Promise<GlueClient> {
  let module: { Glue: new (options: object) => unknown }
  try {
    module = (await import('@aws-sdk/client-glue')) as unknown as typeof module
  } catch (error) {
    throw new StreamError(
      'peer-missing',
      "glueRegistry() needs the package '@aws-sdk/client-glue': npm install @aws-sdk/client-glue@3",
      { cause: error }
    )
  }
  return new module.Glue(options) as GlueClient
}
