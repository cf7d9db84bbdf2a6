import { StreamError } from '../core/errors.ts'
import { view, type Codec } from '../core/codec.ts'
import type { RegisteredSchema, SchemaId, SchemaRegistry } from '../core/registry.ts'
import { checkMessages } from './protobuf/compatibility.ts'
import { indexesOf, readIndexes, writeIndexes } from './protobuf/indexes.ts'
import { messageAt, parseProto, type ProtoFile } from './protobuf/parse.ts'
import {
  loadBufbuild,
  loadParser,
  type Bufbuild,
  type FileDescriptor,
  type MessageDescriptor
} from './protobuf/peer.ts'
import { printProto } from './protobuf/print.ts'
import { marksOf } from './protobuf/sensitive.ts'
import { placementOf } from './placement.ts'
import type { Dependency } from './registry/references.ts'
import { isPlain, secretsIn } from './sensitive.ts'
import { registerReferences, subjectFor, type SubjectStrategy } from './subjects.ts'
import { confluentFraming, headerSize, readId, writeHeader } from './wire.ts'
import { createWriters } from './writers.ts'

export interface ProtobufOptions {
  /**
   * The subject of the schema in the registry, or how it is named (`topicName`, `recordName`, `topicRecordName`, or a
   * function of yours). Default: `topicName`, which gives `<topic>-value` and `<topic>-key`.
   */
  readonly subject?: string | SubjectStrategy
  /** `false`: the message alone, whatever registry the client has. Default `true`. */
  readonly id?: boolean
  /**
   * What the registry is given: the `text` of the file, the default, or its `descriptor` in base64, as Confluent's clients for
   * Python and Node do. Confluent's registry translates between them; where another does not, those clients read
   * records of descriptors only. Embedded registries take texts.
   */
  readonly registerAs?: 'text' | 'descriptor'
}

/** In the place of a message whose type was not named. */
export interface UnnamedMessage {
  readonly $typeName: string
  readonly error: 'the type of the message is promised: protobuf<Trade>(TradeSchema)'
}

/**
 * Protobuf messages of `@bufbuild/protobuf`, as its generator writes them. The type is promised (`protobuf<Trade>`), and
 * is the one that the generator has put beside the schema.
 *
 * With a registry, the file of the message is registered at start, the files that it imports under their paths before
 * it, and records carry id and message indexes in Confluent's wire format. Without one, records are the message alone.
 *
 * Needs the packages `@bufbuild/protobuf`, and `protobufjs` for the text that registries keep.
 *
 * Errors: `bad-config`; at start `peer-missing`, `bad-schema` (refused by the rule of the subject), `connection`; per
 * record `bad-record`, `bad-schema` (an unknown id, another message, a schema that this one misreads).
 *
 * @example
 * import { TradeSchema, type Trade } from './gen/trade_pb.js'
 * const trades = topic('trades', { key: text, value: protobuf<Trade>(TradeSchema) })
 */
export function protobuf<Value extends { readonly $typeName: string } = UnnamedMessage>(
  schema: { readonly typeName: string },
  options: ProtobufOptions = {}
): Codec<Value> {
  const descriptor = schema as MessageDescriptor
  if (descriptor?.kind !== 'message' || typeof descriptor.typeName !== 'string' || descriptor.file === undefined)
    throw new StreamError(
      'bad-config',
      'protobuf(schema) takes the schema of a message: the `TradeSchema` of a generated file'
    )
  for (const name of Object.keys(options))
    if (name !== 'subject' && name !== 'id' && name !== 'registerAs')
      throw new StreamError('bad-config', `protobuf: unknown option '${name}'; known are subject, id, registerAs`)
  return {
    name: 'protobuf',
    encode: unbound,
    decode: unbound,
    async bind(context) {
      const bufbuild = await loadBufbuild()
      const { registry } = context
      const marks = marksOf(descriptor)
      const redacting = isPlain(marks) ? {} : { secretsIn: (value: unknown) => secretsIn(value, marks) }
      if (!registry || options.id === false) return { ...bare(bufbuild, descriptor), ...redacting } as Codec<Value>
      if (registry.headers || (registry.framing && registry.framing !== confluentFraming))
        throw new StreamError(
          'unsupported',
          `protobuf() knows Confluent's wire format with the id in front, and ${registry.name} has another`
        )
      await loadParser()
      const files = importsOf(descriptor.file)
      const print = (file: FileDescriptor): string =>
        options.registerAs === 'descriptor'
          ? Buffer.from(bufbuild.toBinary(bufbuild.fileDescriptor, file.proto)).toString('base64')
          : printProto(file.proto)
      const references = await registerReferences(
        registry,
        'PROTOBUF',
        files.map(file => ({
          subject: pathOf(file),
          name: pathOf(file),
          schema: print(file),
          imports: file.dependencies.map(pathOf)
        })),
        true
      )
      const direct = references.filter(({ name }) => descriptor.file.dependencies.some(file => pathOf(file) === name))
      const text = printProto(descriptor.file.proto)
      const { id } = await registry.register(subjectFor(options.subject, context, descriptor.typeName), {
        type: 'PROTOBUF',
        schema: print(descriptor.file),
        ...(direct.length > 0 && { references: direct })
      })
      const own = parseProto(
        text,
        files.map(file => ({ name: pathOf(file), schema: printProto(file.proto) }))
      )
      return { ...framed(bufbuild, descriptor, registry, id as number, own), ...redacting } as Codec<Value>
    }
  }
}

function bare(bufbuild: Bufbuild, descriptor: MessageDescriptor): Codec<unknown> {
  return {
    name: 'protobuf',
    encode: value => toBinary(bufbuild, descriptor, value),
    decode: bytes => fromBinary(bufbuild, descriptor, bytes)
  }
}

function framed(
  bufbuild: Bufbuild,
  descriptor: MessageDescriptor,
  registry: SchemaRegistry,
  id: number,
  own: ProtoFile
): Codec<unknown> {
  const indexes = writeIndexes(indexesOf(descriptor))
  const head = Buffer.concat([Buffer.alloc(headerSize), indexes])
  writeHeader(head, 0, id)
  /** Throws unless the message of the writer at these indexes is ours, and reads as ours. */
  const checkOf = (writer: ProtoFile, writerId: SchemaId): ((given: readonly number[]) => void) => {
    const problems = checkMessages(own, writer, [descriptor.typeName]).map(({ where, reason }) => `${where} ${reason}`)
    return given => {
      const message = messageAt(writer, given)
      if (message?.name !== descriptor.typeName)
        throw new StreamError(
          'bad-schema',
          message
            ? `the record is a ${message.name}, expected ${descriptor.typeName}`
            : `schema ${writerId} has no message at index ${given.join('.')}`
        )
      if (problems.length > 0)
        throw new StreamError(
          'bad-schema',
          `this topic's schema cannot read records of schema ${writerId}: ${problems.join('; ')}`
        )
    }
  }
  const placement = placementOf(registry, undefined, { part: 'value' })
  const compile = (
    registered: RegisteredSchema,
    dependencies: readonly Dependency[]
  ): ((given: readonly number[]) => void) => {
    if (registered.type === 'PROTOBUF')
      return checkOf(parseAny(bufbuild, registered.schema, dependencies), registered.id)
    throw new StreamError('bad-schema', `schema ${registered.id} is ${registered.type}, expected PROTOBUF`)
  }
  const writers = createWriters<(given: readonly number[]) => void>(registry, compile, placement)
  writers.add(id, checkOf(own, id))
  return {
    ...placement.front,
    name: 'protobuf',
    encode(value) {
      const body = toBinary(bufbuild, descriptor, value)
      const bytes = Buffer.allocUnsafe(head.length + body.length)
      bytes.set(head)
      bytes.set(body, head.length)
      return bytes
    },
    decode(bytes) {
      const buffer = view(bytes)
      // What this schema wrote itself begins with the very same bytes.
      if (buffer.length >= head.length && buffer.compare(head, 0, head.length, 0, head.length) === 0)
        return fromBinary(bufbuild, descriptor, buffer.subarray(head.length))
      const check = writers.get(readId(buffer, placement))
      const { indexes: given, end } = readIndexes(buffer, headerSize)
      check(given)
      return fromBinary(bufbuild, descriptor, buffer.subarray(end))
    },
    prepare: payloads => writers.prepare(payloads)
  }
}

/** Some clients register the descriptor itself, in base64, and some registries hand it out as it is. */
function parseAny(bufbuild: Bufbuild, text: string, dependencies: readonly Dependency[]): ProtoFile {
  const plain = (schema: string): string => {
    if (!/^[A-Za-z0-9+/\s]+=*\s*$/.test(schema)) return schema
    try {
      return printProto(bufbuild.fromBinary(bufbuild.fileDescriptor, Buffer.from(schema, 'base64')))
    } catch (error) {
      throw new StreamError('bad-schema', 'Protobuf schema: neither text nor a descriptor', { cause: error })
    }
  }
  return parseProto(
    plain(text),
    dependencies.map(({ name, schema }) => ({ name, schema: plain(schema) }))
  )
}

function toBinary(bufbuild: Bufbuild, descriptor: MessageDescriptor, value: unknown): Uint8Array {
  if (!bufbuild.isMessage(value, descriptor))
    throw new StreamError(
      'bad-record',
      `expected a message ${descriptor.typeName}, made with create(): got ${typeof value}`
    )
  try {
    return bufbuild.toBinary(descriptor, value)
  } catch (error) {
    // The message of the package quotes the value.
    const field = /field ([\w.]+)/.exec((error as Error).message)?.[1]
    throw new StreamError(
      'bad-record',
      field ? `field '${field}' does not fit its type` : 'the message cannot be encoded'
    )
  }
}

function fromBinary(bufbuild: Bufbuild, descriptor: MessageDescriptor, bytes: Uint8Array): unknown {
  try {
    // A copy: fields of bytes are views of what is read, which is not ours to keep.
    return bufbuild.fromBinary(descriptor, new Uint8Array(bytes))
  } catch (error) {
    const reason =
      error instanceof RangeError && /stack/i.test(error.message) ? 'nested too deeply' : (error as Error).message
    throw new StreamError('bad-record', `not a message ${descriptor.typeName}: ${reason}`, { cause: error })
  }
}

/** The files behind a file, those that others need first. Those of Protobuf itself are known to every registry. */
function importsOf(file: FileDescriptor): FileDescriptor[] {
  const found = new Set<FileDescriptor>()
  const visit = (inner: FileDescriptor): void => {
    for (const dependency of inner.dependencies) {
      if (found.has(dependency) || dependency.name.startsWith('google/protobuf/')) continue
      visit(dependency)
      found.add(dependency)
    }
  }
  visit(file)
  return [...found]
}

function pathOf(file: FileDescriptor): string {
  return `${file.name}.proto`
}

function unbound(): never {
  throw new StreamError(
    'bad-config',
    'this protobuf codec is not bound: connect() binds the codecs of topics; by hand, await codec.bind(context) first'
  )
}
