import { inParallel } from './in-parallel.ts'
import { asStreamError, StreamError } from '../core/errors.ts'
import type { Headers } from '../core/record.ts'
import type { RegisteredSchema, SchemaId, SchemaRegistry } from '../core/registry.ts'
import type { Placement } from './placement.ts'
import { dependenciesOf, type Dependency } from './registry/references.ts'

/** So many writers of one topic are remembered twice over: the present generation and the one before. */
const generationSize = 256

/** Requests to the registry under way at one time. */
const parallel = 8

/**
 * What is known of the schemas that the records of one topic were written with, by id. Each is fetched and compiled
 * once; concurrent batches share the fetch.
 */
export interface Writers<Reader> {
  /** Throws `bad-schema` when the id is unknown, or its schema cannot be read. */
  get(id: SchemaId): Reader
  /**
   * Fetches what these payloads need and is not known. Returns nothing when all is known.
   *
   * @param headers of their records, where ids may stand there
   */
  prepare(payloads: readonly Uint8Array[], headers?: readonly Headers[]): Promise<void> | undefined
  /** Makes one known without a fetch. */
  add(id: SchemaId, reader: Reader): void
}

/**
 * `compile` may throw; what it throws is what `get` throws for that id. A registry that cannot be reached rejects `prepare`
 * with the retryable `connection` that it gave, and nothing is remembered of it.
 */
export function createWriters<Reader>(
  registry: SchemaRegistry,
  compile: (schema: RegisteredSchema, dependencies: readonly Dependency[]) => Reader | Promise<Reader>,
  { framing: { isFramed, idAt }, beside }: Pick<Placement, 'framing' | 'beside'>
): Writers<Reader> {
  // Two generations: what `prepare` has seen is in the present one, so that hundreds of others must come between it and
  // `decode` before it is lost.
  let present = new Map<SchemaId, Reader | StreamError>()
  let past = new Map<SchemaId, Reader | StreamError>()
  const pending = new Map<SchemaId, Promise<void>>()
  let lastId: SchemaId = -1
  let lastReader: Reader | undefined

  /** What the headers of one record say wrongly is told when that record is decoded. */
  const besideOf = (payload: Uint8Array, headers: Headers): SchemaId | undefined => {
    try {
      return beside(payload, headers)
    } catch {
      return undefined
    }
  }
  const find = (id: SchemaId): Reader | StreamError | undefined => present.get(id) ?? past.get(id)
  const remember = (id: SchemaId, reader: Reader | StreamError): void => {
    if (present.size >= generationSize) {
      past = present
      present = new Map()
    }
    present.set(id, reader)
    if (id === lastId) lastId = -1
  }
  const fetch = async (id: SchemaId): Promise<void> => {
    let schema: RegisteredSchema
    let dependencies: readonly Dependency[]
    try {
      schema = await registry.byId(id)
      dependencies = await dependenciesOf(schema, registry)
    } catch (error) {
      const failure = asStreamError(error, 'connection', `schema registry '${registry.name}'`, { retryable: true })
      const final = failure.code === 'connection' && !failure.retryable
      if (failure.code !== 'bad-schema' && !final) throw failure
      // The record is the problem, not the registry: it is refused when it is decoded, and its batch goes on.
      remember(id, new UnknownId(id, failure))
      return
    }
    try {
      remember(id, await compile(schema, dependencies))
    } catch (error) {
      remember(id, asStreamError(error, 'bad-schema', `schema ${id}`))
    }
  }
  const fetchOnce = (id: SchemaId): Promise<void> => {
    let request = pending.get(id)
    if (!request) {
      request = fetch(id).finally(() => pending.delete(id))
      pending.set(id, request)
    }
    return request
  }

  return {
    add: remember,
    get(id) {
      if (id === lastId) return lastReader as Reader
      const found = find(id)
      if (found === undefined)
        throw new StreamError('bad-schema', `schema ${id} was not fetched: prepare() comes before decode()`)
      if (StreamError.is(found)) throw found
      lastId = id
      lastReader = found
      return found
    },
    prepare(payloads, headers) {
      let missing: Set<SchemaId> | undefined
      let checked: SchemaId = -1
      for (let index = 0; index < payloads.length; index++) {
        const payload = payloads[index]!
        const id = (headers && besideOf(payload, headers[index]!)) ?? (isFramed(payload) ? idAt(payload) : undefined)
        if (id === undefined || id === checked) continue
        checked = id
        const found = find(id)
        if (found !== undefined && !present.has(id)) remember(id, found)
        // An id that the registry did not know is asked for again with each batch: replicas of a registry lag.
        if (found === undefined || found instanceof UnknownId) (missing ??= new Set()).add(id)
      }
      return missing && inParallel([...missing], parallel, fetchOnce).then(() => {})
    }
  }
}

class UnknownId extends StreamError {
  constructor(id: SchemaId, cause: StreamError) {
    const what = cause.code === 'connection' ? `schema ${id} could not be fetched` : `no schema has id ${id}`
    super('bad-schema', `${what}: ${cause.message}`, { adapter: cause.adapter, cause })
  }
}
