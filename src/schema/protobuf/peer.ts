import { StreamError } from '../../core/errors.ts'

/** The part of `protobufjs` that is used here: the parser of registry text, and what it gives. */
export interface Protobufjs {
  readonly Root: new () => ProtoNamespace & { resolveAll(): unknown; addJSON(nested: object): unknown }
  readonly parse: {
    (
      text: string,
      root: object,
      options: { readonly keepCase: boolean; readonly alternateCommentMode?: boolean }
    ): { readonly package?: string; readonly imports?: readonly string[]; readonly weakImports?: readonly string[] }
    filename: string | null
  }
  readonly common: { get(name: string): { readonly nested: object } | null }
}

export interface ProtoObject {
  readonly name: string
  readonly fullName: string
  readonly filename?: string | null
}

export interface ProtoNamespace extends ProtoObject {
  readonly nestedArray: readonly ProtoObject[]
}

export interface ProtoMessage extends ProtoNamespace {
  readonly fieldsArray: readonly ProtoField[]
}

export interface ProtoField extends ProtoObject {
  readonly id: number
  readonly type: string
  readonly keyType?: string
  readonly required: boolean
  readonly repeated: boolean
  readonly resolvedType: ProtoObject | null
  readonly partOf: (ProtoObject & { readonly isProto3Optional?: boolean }) | null
}

export interface ProtoEnum extends ProtoObject {
  readonly values: Readonly<Record<string, number>>
}

/** The part of `@bufbuild/protobuf` that is used here. */
export interface Bufbuild {
  toBinary(schema: MessageDescriptor, message: unknown): Uint8Array
  fromBinary(schema: MessageDescriptor, bytes: Uint8Array): unknown
  isMessage(value: unknown, schema: MessageDescriptor): boolean
  /** Of `google.protobuf.FileDescriptorProto`. */
  readonly fileDescriptor: MessageDescriptor
}

/** A message of `@bufbuild/protobuf`, as its generator writes them: `TradeSchema`. */
export interface MessageDescriptor {
  readonly kind: 'message'
  /** Full name: package and name. */
  readonly typeName: string
  readonly name: string
  readonly file: FileDescriptor
  readonly parent?: MessageDescriptor | undefined
  readonly nestedMessages: readonly { readonly typeName: string }[]
}

export interface FileDescriptor {
  /** Path without `.proto`. */
  readonly name: string
  /** `FileDescriptorProto`. */
  readonly proto: unknown
  readonly messages: readonly { readonly typeName: string }[]
  readonly dependencies: readonly FileDescriptor[]
}

let parser: Protobufjs | undefined

/** Loads the parser. Throws `peer-missing`. */
export async function loadParser(): Promise<Protobufjs> {
  if (parser) return parser
  let module: unknown
  try {
    module = await import('protobufjs')
  } catch (error) {
    throw new StreamError('peer-missing', "Protobuf schemas need the package 'protobufjs': npm install protobufjs@7", {
      cause: error
    })
  }
  parser = ((module as { default?: unknown }).default ?? module) as Protobufjs
  return parser
}

/** The parser, loaded before. */
export function loadedParser(): Protobufjs {
  if (parser) return parser
  throw new StreamError('peer-missing', "Protobuf schemas need the package 'protobufjs': npm install protobufjs@7")
}

export function hasParser(): boolean {
  return parser !== undefined
}

export async function loadBufbuild(): Promise<Bufbuild> {
  try {
    const { toBinary, fromBinary, isMessage } = (await import('@bufbuild/protobuf')) as unknown as Bufbuild
    const { FileDescriptorProtoSchema } = await import('@bufbuild/protobuf/wkt')
    return {
      toBinary,
      fromBinary,
      isMessage,
      fileDescriptor: FileDescriptorProtoSchema as unknown as MessageDescriptor
    }
  } catch (error) {
    throw new StreamError(
      'peer-missing',
      "protobuf() needs the package '@bufbuild/protobuf': npm install @bufbuild/protobuf@2",
      { cause: error }
    )
  }
}
