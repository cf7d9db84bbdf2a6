import { StreamError } from '../core/errors.ts'
import type { Codec } from '../core/codec.ts'
import type { RegisteredSchema, SchemaRegistry } from '../core/registry.ts'
import { framedMessages } from './protobuf/framed.ts'
import { fromBinary, toBinary } from './protobuf/binary.ts'
import { namings } from './protobuf/naming.ts'
import { nativeSchema, parseNative } from './protobuf/native.ts'
import { parseProto, type ProtoFile } from './protobuf/parse.ts'
import {
  loadBufbuild,
  loadParser,
  type Bufbuild,
  type FileDescriptor,
  type MessageDescriptor
} from './protobuf/peer.ts'
import { printProto } from './protobuf/print.ts'
import { marksOf } from './protobuf/sensitive.ts'
import { isPlain, secretsIn } from './sensitive.ts'
import { registerReferences, subjectFor, type SubjectStrategy } from './subjects.ts'

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
 * it, and records carry the id and what names the message in the wire format of the registry: that of Confluent, Glue, Pub/Sub
 * or Pulsar. Without one, records are the message alone.
 *
 * Needs the packages `@bufbuild/protobuf`, and `protobufjs` for the text that registries keep.
 *
 * Errors: `bad-config`; at start `peer-missing`, `bad-schema` (refused by the rule of the subject), `connection`, `unsupported` (a
 * registry without Protobuf, or without imports); per record `bad-record`, `bad-schema` (an unknown id, another message, a schema that this one misreads).
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
      await loadParser()
      const { own, schema: text } = await schemaFor(registry, bufbuild, descriptor, options)
      // Before it is registered: where the message cannot be named, it never comes to records.
      const named = namings[registry.messages ?? 'indexes'].write(own, descriptor.typeName)
      const registered = await registry.register(subjectFor(options.subject, context, descriptor.typeName), text)
      const parts = { bufbuild, descriptor, context, registered, own, named }
      return { ...framedMessages(registry, parts), ...redacting } as Codec<Value>
    }
  }
}

/** The schema as the registry wants it; the files that it imports are registered before. */
async function schemaFor(
  registry: SchemaRegistry,
  bufbuild: Bufbuild,
  descriptor: MessageDescriptor,
  { registerAs }: ProtobufOptions
): Promise<{ readonly own: ProtoFile; readonly schema: Omit<RegisteredSchema, 'id'> }> {
  if (registry.messages === 'root') {
    const schema = nativeSchema(bufbuild, descriptor, importsOf(descriptor.file, true))
    return { own: parseNative(bufbuild, schema), schema: { type: 'PROTOBUF', schema } }
  }
  const files = importsOf(descriptor.file, false)
  const print = (file: FileDescriptor): string =>
    registerAs === 'descriptor'
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
  const own = parseProto(
    printProto(descriptor.file.proto),
    files.map(file => ({ name: pathOf(file), schema: printProto(file.proto) }))
  )
  const schema = print(descriptor.file)
  return { own, schema: { type: 'PROTOBUF', schema, ...(direct.length > 0 && { references: direct }) } }
}

function bare(bufbuild: Bufbuild, descriptor: MessageDescriptor): Codec<unknown> {
  return {
    name: 'protobuf',
    encode: value => toBinary(bufbuild, descriptor, value),
    decode: bytes => fromBinary(bufbuild, descriptor, bytes)
  }
}

/**
 * The files behind a file, those that others need first.
 *
 * @param all those of Protobuf itself too, which nearly every registry knows
 */
function importsOf(file: FileDescriptor, all: boolean): FileDescriptor[] {
  const found = new Set<FileDescriptor>()
  const visit = (inner: FileDescriptor): void => {
    for (const dependency of inner.dependencies) {
      if (found.has(dependency) || (!all && dependency.name.startsWith('google/protobuf/'))) continue
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
