import { view, type Codec, type CodecContext } from '../../core/codec.ts'
import { StreamError } from '../../core/errors.ts'
import type { RegisteredSchema, SchemaId, SchemaRegistry } from '../../core/registry.ts'
import { placementOf } from '../placement.ts'
import type { Dependency } from '../registry/references.ts'
import { readId } from '../wire.ts'
import { createWriters } from '../writers.ts'
import { fromBinary, toBinary } from './binary.ts'
import { checkMessages } from './compatibility.ts'
import { namings } from './naming.ts'
import { isNative, parseNative } from './native.ts'
import { parseProto, type ProtoFile } from './parse.ts'
import type { Bufbuild, MessageDescriptor } from './peer.ts'
import { printProto } from './print.ts'

export interface MessageParts {
  readonly bufbuild: Bufbuild
  readonly descriptor: MessageDescriptor
  readonly context: CodecContext
  /** The file of the message. */
  readonly registered: RegisteredSchema
  readonly own: ProtoFile
  /** What says which message of that file it is. */
  readonly named: Buffer
}

/** Throws unless the message of the writer at this place is ours, and reads as ours. */
type Check = (place: readonly number[]) => void

/** Messages with the id of their file, and with what says which of its messages they are, as the registry has it. */
export function framedMessages(registry: SchemaRegistry, parts: MessageParts): Codec<unknown> {
  const { bufbuild, descriptor, context, registered, own, named } = parts
  const naming = namings[registry.messages ?? 'indexes']
  const placement = placementOf(registry, registered, context, named)
  const { framing, beside } = placement
  const head = Buffer.concat([Buffer.alloc(placement.size), placement.front.headers ? Buffer.alloc(0) : named])
  placement.write(head)

  const checkOf = (writer: ProtoFile, writerId: SchemaId): Check => {
    const problems = checkMessages(own, writer, [descriptor.typeName]).map(({ where, reason }) => `${where} ${reason}`)
    return place => {
      const name = naming.find(writer, place)
      if (name !== descriptor.typeName)
        throw new StreamError(
          'bad-schema',
          name === undefined
            ? `schema ${writerId} has no message at index ${place.join('.')}`
            : `the record is a ${name}, expected ${descriptor.typeName}`
        )
      if (problems.length > 0)
        throw new StreamError(
          'bad-schema',
          `this topic's schema cannot read records of schema ${writerId}: ${problems.join('; ')}`
        )
    }
  }
  const compile = (found: RegisteredSchema, dependencies: readonly Dependency[]): Check => {
    if (found.type === 'PROTOBUF' && isNative(found.schema))
      return checkOf(parseNative(bufbuild, found.schema), found.id)
    if (found.type === 'PROTOBUF') return checkOf(parseAny(bufbuild, found.schema, dependencies), found.id)
    throw new StreamError('bad-schema', `schema ${found.id} is ${found.type}, expected PROTOBUF`)
  }
  const writers = createWriters<Check>(registry, compile, placement)
  writers.add(registered.id, checkOf(own, registered.id))
  return {
    ...placement.front,
    name: 'protobuf',
    encode(value) {
      const body = toBinary(bufbuild, descriptor, value)
      if (head.length === 0) return body
      const bytes = Buffer.allocUnsafe(head.length + body.length)
      bytes.set(head)
      bytes.set(body, head.length)
      return bytes
    },
    decode(bytes, headers) {
      const buffer = view(bytes)
      const isFramed = framing.isFramed(buffer)
      // No message begins as an id in front does; without headers (the key of a timer) that is all there is to tell.
      const id = isFramed && !headers ? undefined : beside(buffer, headers)
      if (id !== undefined) {
        const check = writers.get(id)
        check(naming.read(placement.named(headers) ?? named, 0).place)
        return fromBinary(bufbuild, descriptor, buffer)
      }
      // What this schema wrote itself begins with the very same bytes.
      if (head.length > 0 && buffer.length >= head.length && buffer.compare(head, 0, head.length, 0, head.length) === 0)
        return fromBinary(bufbuild, descriptor, buffer.subarray(head.length))
      const check = writers.get(readId(buffer, placement))
      const payload = framing.payload ? view(framing.payload(buffer)) : buffer.subarray(framing.headerSize)
      const { place, end } = naming.read(payload, 0)
      check(place)
      return fromBinary(bufbuild, descriptor, payload.subarray(end))
    },
    prepare: (payloads, headers) => writers.prepare(payloads, headers)
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
