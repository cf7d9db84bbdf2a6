import { StreamError } from '../../core/errors.ts'
import type { Codec, CodecContext } from '../../core/codec.ts'
import { view } from '../../core/codec.ts'
import type { RegisteredSchema, SchemaId, SchemaRegistry } from '../../core/registry.ts'
import { placementOf } from '../placement.ts'
import { isPlain, secretsIn, shownPath, type Marks } from '../sensitive.ts'
import { createSlab } from '../slab.ts'
import { readId } from '../wire.ts'
import { createWriters } from '../writers.ts'
import { canonicalOf } from './canonical.ts'
import { checkAvro } from './compatibility.ts'
import { buildType, resolverOf } from './engine.ts'
import type { AvroType } from './model.ts'
import { parseAvro } from './parse.ts'
import type { Avsc, AvscResolver, AvscType } from './peer.ts'
import { proofOf, type Proof } from './proof.ts'
import { readerOf } from './reader.ts'
import { marksOf } from './sensitive.ts'

/** A schema ready for work: the codec of the bytes alone, without a header. */
export interface AvroEngine {
  readonly schema: AvroType
  readonly type: AvscType
  readonly proof: Proof
  /** What every codec of this schema has: nothing where it marks nothing. */
  readonly front: Pick<Codec<unknown>, 'secretsIn'>
  /** Encodes with so many bytes left free in front. */
  encode(value: unknown, header: number): Buffer
  decode(bytes: Buffer, start: number, proof: Proof, resolver: AvscResolver | undefined): unknown
}

/**
 * Bytes. Up to here a value is proven while it is read. Beyond, it is proven first: what a long payload that is refused at its end
 * would have built costs more than to go over it twice.
 */
const onePass = 16_384

export function createEngine(avsc: Avsc, schema: AvroType, long: 'bigint' | 'number'): AvroEngine {
  const type = buildChecked(avsc, schema, long, true)
  const proof = proofOf(schema)
  const marks = marksOf(schema)
  const read = readerOf(schema, long, proof)
  const slab = createSlab()
  // What a flat record may hold is fixed by the schema. The rest could be a value that no reader would take.
  const proveEncoded = canGrow(schema)
  let current: unknown
  const write = (target: Buffer, position: number): number => type.encode(current, target, position)
  return {
    schema,
    type,
    proof,
    front: isPlain(marks) ? {} : { secretsIn: value => secretsIn(value, marks) },
    encode(value, header) {
      current = value
      try {
        const bytes = slab.carve(header, write)
        if (proveEncoded) proof(bytes, header)
        return bytes
      } catch (error) {
        throw refusal(type, value, error, marks)
      } finally {
        current = undefined
      }
    },
    decode(bytes, start, writerProof, resolver) {
      if (read && resolver === undefined && bytes.length - start <= onePass) return read(bytes, start)
      writerProof(bytes, start)
      try {
        return type.decode(bytes, start, resolver).value
      } catch (error) {
        if (StreamError.is(error)) throw error
        throw new StreamError('bad-record', `not a value of the schema: ${(error as Error).message}`, { cause: error })
      }
    }
  }
}

/** Avro without a header: the reader's schema is the writer's. */
export function bareCodec(name: string, engine: AvroEngine): Codec<unknown> {
  return {
    ...engine.front,
    name,
    encode: value => engine.encode(value, 0),
    decode: bytes => engine.decode(view(bytes), 0, engine.proof, undefined)
  }
}

/** Avro with the id of its schema. Without an own id (the schema is not registered) it only reads. */
export function framedCodec(
  name: string,
  engine: AvroEngine,
  registry: SchemaRegistry,
  own: RegisteredSchema | { readonly missing: string },
  parts: { readonly avsc: Avsc; readonly long: 'bigint' | 'number'; readonly context: CodecContext }
): Codec<unknown> {
  const placement = placementOf(registry, 'id' in own ? own : undefined, parts.context)
  const { size, framing, beside } = placement
  const same = { proof: engine.proof, resolver: undefined }
  const canonical = canonicalOf(engine.schema)
  const writers = createWriters<{ proof: Proof; resolver: AvscResolver | undefined }>(
    registry,
    (registered, dependencies) => {
      if (registered.type !== 'AVRO')
        throw new StreamError('bad-schema', `schema ${registered.id} is ${registered.type}, expected AVRO`)
      const writer = parseAvro(registered.schema, { lenient: true, dependencies })
      if (canonicalOf(writer) === canonical) return same
      const problems = checkAvro(engine.schema, writer)
      if (problems.length > 0) {
        const sentences = problems.map(problem => `${problem.where} ${problem.reason}`).join('; ')
        throw new StreamError(
          'bad-schema',
          `this topic's schema cannot read records of schema ${registered.id}: ${sentences}`
        )
      }
      return {
        proof: proofOf(writer),
        resolver: resolve(engine, buildChecked(parts.avsc, writer, parts.long, false), registered.id)
      }
    },
    placement
  )
  if ('id' in own) writers.add(own.id, same)
  return {
    ...placement.front,
    ...engine.front,
    name,
    encode(value) {
      if ('missing' in own) throw new StreamError('bad-schema', own.missing)
      const bytes = engine.encode(value, size)
      placement.write(bytes)
      return bytes
    },
    decode(bytes, headers) {
      const id = beside(bytes, headers)
      if (id !== undefined) {
        const { proof, resolver } = writers.get(id)
        try {
          return engine.decode(view(bytes), 0, proof, resolver)
        } catch (error) {
          // The key of a timer comes without its record: it is one of ours, or else one with its id in front.
          if (headers || !framing.isFramed(bytes)) throw error
        }
      }
      const writer = writers.get(readId(bytes, placement))
      if (framing.payload) return engine.decode(view(framing.payload(bytes)), 0, writer.proof, writer.resolver)
      return engine.decode(view(bytes), framing.headerSize, writer.proof, writer.resolver)
    },
    prepare: (payloads, headers) => writers.prepare(payloads, headers)
  }
}

export function resolve(engine: AvroEngine, writer: AvscType, id: SchemaId): AvscResolver {
  try {
    return resolverOf(engine.type, writer)
  } catch (error) {
    throw new StreamError('bad-schema', `this topic's schema cannot read records of schema ${id}`, { cause: error })
  }
}

export function buildChecked(avsc: Avsc, schema: AvroType, long: 'bigint' | 'number', defaults: boolean): AvscType {
  try {
    return buildType(avsc, schema, { long, defaults })
  } catch (error) {
    throw new StreamError('bad-schema', `Avro schema: ${(error as Error).message}`, { cause: error })
  }
}

/** Says where a value does not fit, and what was expected there; never the value, which may be anybody's secret. */
function refusal(type: AvscType, value: unknown, error: unknown, marks: Marks): StreamError {
  if (StreamError.is(error)) return error
  let found: { path: string; expected: string; got: string } | undefined
  try {
    type.isValid(value, {
      errorHook: (path, inner, expected) => {
        found ??= { path: shownPath(path, marks).join('.'), expected: expectation(expected), got: kindOf(inner) }
      }
    })
  } catch {
    // A value that holds itself, for one.
  }
  if (!found)
    return new StreamError('bad-record', 'the value cannot be encoded: it is nested too deeply, or holds itself')
  const where = found.path === '' ? 'the value' : `'${found.path}'`
  return new StreamError('bad-record', `${where} does not fit the schema: expected ${found.expected}, got ${found.got}`)
}

function expectation(type: AvscType): string {
  const name = type.typeName.replace(/^(logical|abstract|union):/, '')
  switch (type.typeName) {
    case 'abstract:long':
      return 'a bigint of 64 bits'
    case 'long':
      return 'a whole number within 2^53'
    case 'int':
      return 'a whole number of 32 bits'
    case 'string':
      return 'a well-formed string'
    case 'logical:bytes':
      return 'a Uint8Array'
    case 'fixed':
    case 'logical:fixed':
      return `a Uint8Array of the size of ${type.branchName}`
    case 'logical:decimal':
      return 'a decimal text within precision and scale'
    case 'enum':
      return `a symbol of ${type.branchName}`
    case 'union:wrapped':
    case 'union:unwrapped':
      return `one of ${(type as unknown as { types: AvscType[] }).types.map(branch => branch.branchName).join(', ')}`
    default:
      return type.typeName.startsWith('logical:') ? `a valid Date (${name})` : `${type.branchName ?? name}`
  }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (value instanceof Date) return 'Date'
  return value instanceof Uint8Array ? 'Uint8Array' : typeof value
}

function canGrow(type: AvroType): boolean {
  // A record refers to itself only through one of these, or a union of it.
  const seen = new Set<AvroType>()
  const visit = (inner: AvroType): boolean => {
    if (inner.kind === 'array' || inner.kind === 'map') return true
    if (inner.kind === 'union') return inner.branches.some(visit)
    if (inner.kind !== 'record') return false
    if (seen.has(inner)) return true
    seen.add(inner)
    const grows = inner.fields.some(field => visit(field.type))
    return grows
  }
  return visit(type)
}
