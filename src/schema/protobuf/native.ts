import { StreamError } from '../../core/errors.ts'
import { readVarint, unsignedVarint } from './indexes.ts'
import { parseProto, type ProtoFile } from './parse.ts'
import type { Bufbuild, FileDescriptor, MessageDescriptor } from './peer.ts'
import { printProto } from './print.ts'

// What Pulsar calls PROTOBUF_NATIVE: the descriptors of a file and of all that it imports, and which message is meant. Source: Apache
// Pulsar, `ProtobufNativeSchemaData`, `ProtobufNativeSchemaUtils`.

interface NativeSchema {
  /** A `google.protobuf.FileDescriptorSet` in base64. */
  readonly fileDescriptorSet: string
  readonly rootMessageTypeName: string
  readonly rootFileDescriptorName: string
}

/** Field 1, a length and so many bytes: one file of the set. */
const fileTag = 0x0a

export function nativeSchema(
  bufbuild: Bufbuild,
  descriptor: MessageDescriptor,
  imports: readonly FileDescriptor[]
): string {
  const files = [...imports, descriptor.file].map(({ proto }) => {
    const bytes = bufbuild.toBinary(bufbuild.fileDescriptor, proto)
    return Buffer.concat([Buffer.from([fileTag, ...unsignedVarint(bytes.length)]), bytes])
  })
  const schema: NativeSchema = {
    fileDescriptorSet: Buffer.concat(files).toString('base64'),
    rootMessageTypeName: descriptor.typeName,
    rootFileDescriptorName: (descriptor.file.proto as { name: string }).name
  }
  return JSON.stringify(schema)
}

export function isNative(schema: string): boolean {
  return schema.startsWith('{')
}

/** As texts, in which it is compared with others. */
export interface NativeTexts {
  readonly schema: string
  readonly dependencies: readonly { readonly name: string; readonly schema: string }[]
  /** Full name of the message that is meant. */
  readonly root: string
}

/** Throws `bad-schema`. */
export function nativeTexts(bufbuild: Bufbuild, schema: string): NativeTexts {
  try {
    const { fileDescriptorSet, rootMessageTypeName, rootFileDescriptorName } = JSON.parse(schema) as NativeSchema
    const files = filesOf(Buffer.from(fileDescriptorSet, 'base64')).map(
      bytes => bufbuild.fromBinary(bufbuild.fileDescriptor, bytes) as { readonly name: string }
    )
    const root = files.find(({ name }) => name === rootFileDescriptorName)
    if (!root) throw new Error(`it holds no file '${rootFileDescriptorName}'`)
    const others = files.filter(file => file !== root && !file.name.startsWith('google/protobuf/'))
    return {
      schema: printProto(root),
      dependencies: others.map(file => ({ name: file.name, schema: printProto(file) })),
      root: rootMessageTypeName
    }
  } catch (error) {
    throw new StreamError('bad-schema', `Protobuf schema of Pulsar: ${(error as Error).message}`, { cause: error })
  }
}

/** Throws `bad-schema`. */
export function parseNative(bufbuild: Bufbuild, text: string): ProtoFile {
  const { schema, dependencies, root } = nativeTexts(bufbuild, text)
  return { ...parseProto(schema, dependencies), root }
}

function filesOf(set: Buffer): readonly Buffer[] {
  const files: Buffer[] = []
  for (let at = 0; at < set.length;) {
    if (set[at] !== fileTag) throw new Error('its descriptors are not a set of files')
    const { value, end } = readVarint(set, at + 1)
    if (end + value > set.length) throw new Error('its descriptors end in the middle of a file')
    files.push(set.subarray(end, end + value))
    at = end + value
  }
  return files
}
