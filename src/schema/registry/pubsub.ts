import { StreamError, asStreamError } from '../../core/errors.ts'
import { headerText, type Headers } from '../../core/record.ts'
import type { RegisteredSchema, SchemaHeaders, SchemaRegistry } from '../../core/registry.ts'
import { schemaCache } from './cache.ts'
import { brokenRules, canonicalText, parseCompatibility, type Compatibility, type SchemaText } from './compatibility.ts'
import { textFraming } from './text-framing.ts'

export interface PubsubRegistryOptions {
  /** The project that holds the schemas. */
  readonly project: string
  /** Options of the class `PubSub` of `@google-cloud/pubsub`: `keyFilename`, `credentials`, `apiEndpoint` and the like. */
  readonly client?: Readonly<Record<string, unknown>>
  /** `host:port` of an emulator, without credentials. */
  readonly emulator?: string
  /** What is checked before a revision is committed: Pub/Sub's own are looser. Default `backward`. */
  readonly compatibility?: Compatibility
  /** See `confluentRegistry`. Default `wait`. */
  readonly unreachable?: 'wait' | 'park'
  /** Milliseconds for one request. Default 10,000. */
  readonly timeout?: number
  /** Schemas that are remembered. Default 1,000. */
  readonly cacheSize?: number
}

/** The part of the generated `SchemaServiceClient` that is used here. */
interface SchemaService {
  initialize(): Promise<unknown>
  getSchema(request: object, options: object): Promise<any>
  listSchemaRevisions(request: object, options: object): Promise<any>
  createSchema(request: object, options: object): Promise<any>
  commitSchema(request: object, options: object): Promise<any>
  close(): Promise<void>
}

/**
 * Schemas of Pub/Sub: a subject is a schema of the project, an id is a revision of it, `projects/…/schemas/trades-value@1a2b3c4d`.
 * Payloads are Avro binary or a Protobuf message, and nothing else. Which revision a message was written with stands in its attributes: the service puts
 * it there for topics that have a schema (`schemaSettings`, with the encoding `BINARY`), whoever writes; for others tidemark does.
 *
 * Avro and Protobuf, without references and imports; a Protobuf file has one message, with others inside it. Needs the package `@google-cloud/pubsub`.
 *
 * Errors: `bad-config`, `peer-missing`; `connection` (retryable), `unauthorized`, `bad-schema`, `unsupported`.
 *
 * @example
 * const registry = await pubsubRegistry({ project: 'trading' })
 */
export async function pubsubRegistry(options: PubsubRegistryOptions): Promise<SchemaRegistry> {
  const { project, compatibility = 'backward', timeout = 10_000 } = options
  if (typeof project !== 'string' || project === '')
    throw new StreamError('bad-config', "pubsubRegistry: option 'project' is the id of a project")
  parseCompatibility(compatibility)
  const name = `Pub/Sub schemas of project ${project}`
  const service = await openService(options)
  const cache = schemaCache<RegisteredSchema>(options.cacheSize ?? 1_000, options.unreachable)
  const parent = `projects/${project}`
  const nameOf = (subject: string): string => `${parent}/schemas/${subject}`
  const call = async (method: keyof SchemaService, request: object, doing: string): Promise<any> => {
    try {
      const made = service[method] as (request: object, options: object) => Promise<any>
      return (await made.call(service, request, { timeout, retry: null, autoPaginate: false }))[0]
    } catch (error) {
      throw translated(error, `${name}: ${doing}`)
    }
  }
  /** Nothing when the service says that it is not there. */
  const find = async (method: keyof SchemaService, request: object, doing: string): Promise<any> => {
    try {
      return await call(method, request, doing)
    } catch (error) {
      if (StreamError.is(error) && (error.cause as { code?: unknown })?.code === notFound) return undefined
      throw error
    }
  }
  /** What it is called there. A Protobuf file may import no other, not even those of Protobuf itself. */
  const typeOf = ({ type, schema, references }: SchemaText): string => {
    const found = toPubsub[type]
    if (found && !references && !(type === 'PROTOBUF' && /^\s*import\s/m.test(schema))) return found
    throw new StreamError('unsupported', `${name}: Avro and Protobuf are kept there, without references and imports`)
  }
  /** Oldest first. */
  const revisionsOf = async (subject: string): Promise<readonly RegisteredSchema[]> => {
    // Twenty revisions are the most that a schema has: one page.
    const request = { name: nameOf(subject), view: 'FULL', pageSize: 100 }
    const found = ((await find('listSchemaRevisions', request, `subject '${subject}'`)) ?? []) as any[]
    return found
      .filter(({ type }) => type in fromPubsub)
      .toSorted((left, right) => timeOf(left) - timeOf(right))
      .map((found, index) => ({ ...parse(found), version: index + 1 }))
  }

  const registry: SchemaRegistry = {
    name,
    framing: textFraming,
    headers: pubsubHeaders,
    messages: 'only',
    byId: id =>
      cache.get(String(id), async () =>
        parse(await call('getSchema', { name: String(id), view: 'FULL' }, `schema ${id}`))
      ),
    latest: async subject => (await revisionsOf(subject)).at(-1),
    async lookup(subject, schema) {
      typeOf(schema)
      const canonical = canonicalText(schema, false)
      return (await revisionsOf(subject)).findLast(revision => canonicalText(revision, false) === canonical)
    },
    async register(subject, schema) {
      const known = await registry.lookup!(subject, schema)
      if (known) return known
      const broken = await registry.check(subject, schema)
      if (broken.length > 0)
        throw new StreamError('bad-schema', `subject '${subject}' refuses the schema:\n- ${broken.join('\n- ')}`)
      const doing = `register a schema under '${subject}'`
      const definition = { type: typeOf(schema), definition: schema.schema }
      const exists = await find('getSchema', { name: nameOf(subject), view: 'BASIC' }, doing)
      const made = exists
        ? await call('commitSchema', { name: nameOf(subject), schema: { ...definition, name: nameOf(subject) } }, doing)
        : await call('createSchema', { parent, schemaId: subject, schema: definition }, doing)
      const registered: RegisteredSchema = { ...schema, id: idOf(made) }
      cache.set(String(registered.id), registered)
      return registered
    },
    async check(subject, schema) {
      typeOf(schema)
      canonicalText(schema, true)
      const earlier = await revisionsOf(subject)
      return brokenRules(
        compatibility,
        schema,
        earlier.map((revision, index) => ({ ...revision, version: index + 1 }))
      )
    },
    close: () => service.close()
  }
  return registry
}

const names = {
  schema: 'googclient_schemaname',
  revision: 'googclient_schemarevisionid',
  encoding: 'googclient_schemaencoding'
} as const

/** The attributes that the service itself puts on messages. Source: Google Cloud, "Parse schema messages". */
export const pubsubHeaders: SchemaHeaders = {
  place: `attribute '${names.schema}'`,
  write({ id }, part) {
    if (part === 'key') return undefined
    const [schema, revision] = String(id).split('@') as [string, string]
    const texts: Headers = {
      [names.schema]: Buffer.from(schema),
      [names.revision]: Buffer.from(revision),
      [names.encoding]: Buffer.from('BINARY')
    }
    return texts
  },
  read(headers, part) {
    const schema = part === 'value' ? headerText(headers, names.schema) : undefined
    if (schema === undefined) return undefined
    const [encoding, revision] = [headerText(headers, names.encoding), headerText(headers, names.revision)]
    if (encoding !== undefined && encoding !== 'BINARY')
      throw new StreamError(
        'bad-record',
        `the message is ${encoding} by its attribute '${names.encoding}': give the topic the encoding BINARY`
      )
    return revision === undefined ? schema : `${schema}@${revision}`
  }
}

const toPubsub: Partial<Record<RegisteredSchema['type'], string>> = { AVRO: 'AVRO', PROTOBUF: 'PROTOCOL_BUFFER' }
const fromPubsub: Readonly<Record<string, RegisteredSchema['type']>> = { AVRO: 'AVRO', PROTOCOL_BUFFER: 'PROTOBUF' }

function parse(found: any): RegisteredSchema {
  const type = fromPubsub[String(found?.type)]
  if (type) return { id: idOf(found), type, schema: String(found.definition) }
  throw new StreamError(
    'bad-schema',
    `schema ${String(found?.name)} is ${String(found?.type)}: neither Avro nor Protobuf`
  )
}

function idOf({ name, revisionId }: { name: string; revisionId: string }): string {
  // The service has been seen to answer with the revision in the name.
  return `${name.split('@')[0]}@${revisionId}`
}

function timeOf({ revisionCreateTime: time }: any): number {
  return Number(time?.seconds ?? 0) + Number(time?.nanos ?? 0) / 1e9
}

// Codes of gRPC.
const [invalidArgument, notFound, alreadyExists, permissionDenied, failedPrecondition, unauthenticated] = [
  3, 5, 6, 7, 9, 16
]

function translated(error: unknown, doing: string): StreamError {
  const { code } = (error ?? {}) as { code?: unknown }
  if (code === permissionDenied || code === unauthenticated) return asStreamError(error, 'unauthorized', doing)
  if (code === invalidArgument || code === notFound || code === alreadyExists || code === failedPrecondition)
    return asStreamError(error, 'bad-schema', doing)
  return asStreamError(error, 'connection', doing, { retryable: true })
}

async function openService({ project, client, emulator }: PubsubRegistryOptions): Promise<SchemaService> {
  let module: {
    readonly PubSub: new (options: object) => { getClientConfig(): Promise<object>; close(): unknown }
    readonly v1: { readonly SchemaServiceClient: new (options: object) => SchemaService }
  }
  try {
    module = (await import('@google-cloud/pubsub')) as unknown as typeof module
  } catch (error) {
    throw new StreamError(
      'peer-missing',
      "pubsubRegistry() needs the package '@google-cloud/pubsub': npm install @google-cloud/pubsub@6",
      { cause: error }
    )
  }
  // An emulator has no metadata server, which would be asked for the universe.
  const local = { apiEndpoint: emulator, emulatorMode: true, clientOptions: { universeDomain: 'googleapis.com' } }
  const pubsub = new module.PubSub({ projectId: project, ...client, ...(emulator !== undefined && local) })
  try {
    const service = new module.v1.SchemaServiceClient(await pubsub.getClientConfig())
    await service.initialize()
    return service
  } catch (error) {
    throw asStreamError(error, 'unauthorized', 'pubsubRegistry: finding its credentials')
  } finally {
    await pubsub.close()
  }
}
