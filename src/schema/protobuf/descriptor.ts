import { StreamError } from '../../core/errors.ts'
import type { ProtoEnum, ProtoField, ProtoMessage, ProtoNamespace, ProtoObject } from './peer.ts'

// protobufjs has descriptors of its own (`ext/descriptor`), but they lose imports, names of files and of map entries, JSON names,
// `optional` of proto3 and options of enum values. So they are made here, from what its parser knows.

/** What the parser says of a file beside its definitions. */
export interface ParsedFile {
  /** Path, as imports name it: `common/side.proto`. */
  readonly name: string
  readonly package: string | undefined
  readonly syntax: 'proto2' | 'proto3'
  readonly imports: readonly string[]
  /** Those of `imports` that are `import public`. */
  readonly publicImports: readonly string[]
  readonly options: Options
}

export type Options = Readonly<Record<string, unknown>>

interface Named extends ProtoObject {
  readonly options?: Options
  readonly comment?: string | null
}

type NamedField = ProtoField & Named

type Type = Named &
  Omit<ProtoMessage, 'fieldsArray'> & {
    readonly fieldsArray: readonly NamedField[]
    readonly oneofsArray: readonly (Named & { readonly isProto3Optional: boolean })[]
    readonly group?: boolean
    readonly extensions?: readonly Range[]
    readonly reserved?: readonly (Range | string)[]
  }

type Enum = Named &
  ProtoEnum & {
    readonly valuesOptions?: Readonly<Record<string, Options | undefined>>
    readonly comments: Readonly<Record<string, string | null>>
    readonly reserved?: readonly (Range | string)[]
  }

type Service = Named & {
  readonly methodsArray: readonly (Named & {
    readonly resolvedRequestType: ProtoObject
    readonly resolvedResponseType: ProtoObject
    readonly requestStream?: boolean
    readonly responseStream?: boolean
  })[]
}

/** Both ends belong to it. */
type Range = readonly [number, number]

interface Location {
  readonly path: readonly number[]
  readonly span: readonly number[]
  readonly leadingComments: string
}

/** What the parser keeps among the options, and descriptors hold elsewhere. */
const noOptions: ReadonlySet<string> = new Set(['default', 'json_name', 'proto3_optional'])

/**
 * The `google.protobuf.FileDescriptorProto` of a parsed file, in the JSON form of Protobuf. Comments are part of it; places in the text are
 * not. Throws `bad-schema` for what it cannot say: extensions, groups, defaults of `bytes` and of integers beyond 2^53.
 *
 * @param root all files, parsed with their names and resolved
 */
export function describeFile(root: ProtoNamespace, file: ParsedFile): object {
  const comments: Location[] = []
  const own = definitions(root, file.name)
  for (const each of own) if ('extend' in each) refuse(`it extends ${String(each.extend)}`, file.name)
  return {
    name: file.name,
    ...(file.package !== undefined && { package: file.package }),
    dependency: file.imports,
    publicDependency: file.publicImports.map(path => file.imports.indexOf(path)),
    messageType: own.filter(isType).map((type, index) => describeType(type, [4, index], comments)),
    enumType: own.filter(isEnum).map((type, index) => describeEnum(type, [5, index], comments)),
    service: own.filter(isService).map((service, index) => describeService(service, [6, index], comments)),
    ...optionsOf(file),
    ...(file.syntax === 'proto3' && { syntax: 'proto3' }),
    sourceCodeInfo: { location: comments }
  }
}

function definitions(namespace: ProtoNamespace, file: string): ProtoObject[] {
  return namespace.nestedArray.flatMap(each => {
    if (isType(each) || isEnum(each) || isService(each) || 'extend' in each) return each.filename === file ? [each] : []
    return 'nestedArray' in each ? definitions(each as ProtoNamespace, file) : []
  })
}

function describeType(type: Type, path: readonly number[], comments: Location[]): object {
  if (type.group) refuse('it is a group', nameOf(type))
  for (const each of type.nestedArray) if ('extend' in each) refuse(`it extends ${String(each.extend)}`, nameOf(type))
  note(type.comment, path, comments)
  // The compiler puts the oneofs that it makes up behind all others.
  const oneofs = type.oneofsArray.toSorted(
    (left, right) => Number(left.isProto3Optional) - Number(right.isProto3Optional)
  )
  for (const [index, { comment }] of oneofs.entries()) note(comment, [...path, 8, index], comments)
  const { ranges, names } = reservedOf(type.reserved)
  return {
    name: type.name,
    field: type.fieldsArray.map((field, index) => {
      note(field.comment, [...path, 2, index], comments)
      return describeField(field, type, oneofs)
    }),
    // Where an entry stands among the messages is not known; messages are counted without them.
    nestedType: [
      ...type.nestedArray.filter(isType).map((each, index) => describeType(each, [...path, 3, index], comments)),
      ...type.fieldsArray.filter(({ keyType }) => keyType !== undefined).map(describeEntry)
    ],
    enumType: type.nestedArray.filter(isEnum).map((each, index) => describeEnum(each, [...path, 4, index], comments)),
    extensionRange: (type.extensions ?? []).map(([start, end]) => ({ start, end: end + 1 })),
    oneofDecl: oneofs.map(({ name }) => ({ name })),
    reservedRange: ranges.map(([start, end]) => ({ start, end: end + 1 })),
    reservedName: names,
    ...optionsOf(type)
  }
}

function describeField(field: NamedField, parent: Type, oneofs: readonly ProtoObject[]): object {
  const { options = {}, partOf } = field
  const many = field.repeated || field.keyType !== undefined
  const type = field.keyType
    ? { type: 'TYPE_MESSAGE', typeName: `${parent.fullName}.${entryName(field.name)}` }
    : typeOf(field)
  return {
    name: field.name,
    number: field.id,
    label: many ? 'LABEL_REPEATED' : field.required ? 'LABEL_REQUIRED' : 'LABEL_OPTIONAL',
    ...type,
    jsonName: options['json_name'] ?? jsonName(field.name),
    ...(options['default'] !== undefined && { defaultValue: defaultOf(options['default'], field) }),
    ...(partOf && { oneofIndex: oneofs.indexOf(partOf) }),
    ...(options['proto3_optional'] === true && { proto3Optional: true }),
    ...optionsOf(field)
  }
}

function describeEntry(field: ProtoField): object {
  const part = { label: 'LABEL_OPTIONAL' }
  return {
    name: entryName(field.name),
    field: [
      { ...part, name: 'key', jsonName: 'key', number: 1, type: `TYPE_${field.keyType!.toUpperCase()}` },
      { ...part, name: 'value', jsonName: 'value', number: 2, ...typeOf(field) }
    ],
    options: { mapEntry: true }
  }
}

function describeEnum(type: Enum, path: readonly number[], comments: Location[]): object {
  note(type.comment, path, comments)
  const { ranges, names } = reservedOf(type.reserved)
  return {
    name: type.name,
    value: Object.entries(type.values).map(([name, number], index) => {
      note(type.comments[name], [...path, 2, index], comments)
      return { name, number, ...optionsOf({ options: type.valuesOptions?.[name] }) }
    }),
    reservedRange: ranges.map(([start, end]) => ({ start, end })),
    reservedName: names,
    ...optionsOf(type)
  }
}

function describeService(service: Service, path: readonly number[], comments: Location[]): object {
  note(service.comment, path, comments)
  return {
    name: service.name,
    method: service.methodsArray.map((method, index) => {
      note(method.comment, [...path, 2, index], comments)
      return {
        name: method.name,
        inputType: method.resolvedRequestType.fullName,
        outputType: method.resolvedResponseType.fullName,
        ...(method.requestStream && { clientStreaming: true }),
        ...(method.responseStream && { serverStreaming: true }),
        ...optionsOf(method)
      }
    }),
    ...optionsOf(service)
  }
}

function typeOf({ type, resolvedType }: ProtoField): object {
  if (!resolvedType) return { type: `TYPE_${type.toUpperCase()}` }
  return { type: isType(resolvedType) ? 'TYPE_MESSAGE' : 'TYPE_ENUM', typeName: resolvedType.fullName }
}

function defaultOf(value: unknown, field: ProtoField): string {
  if (field.type === 'bytes') refuse("a default of 'bytes'", nameOf(field))
  if (typeof value !== 'number' || field.type === 'string') return String(value)
  if (/int|fixed/.test(field.type) && !Number.isSafeInteger(value)) refuse('a default beyond 2^53', nameOf(field))
  return Number.isNaN(value) ? 'nan' : String(value).replace('Infinity', 'inf')
}

/** Those of the language: options of users are extensions, which are refused. */
function optionsOf({ options = {} }: { readonly options?: Options | undefined }): object {
  const known = Object.entries(options).filter(([name]) => /^\w+$/.test(name) && !noOptions.has(name))
  return known.length > 0 ? { options: Object.fromEntries(known) } : {}
}

function reservedOf(reserved: readonly (Range | string)[] = []): {
  ranges: readonly Range[]
  names: readonly string[]
} {
  return {
    ranges: reserved.filter(each => typeof each !== 'string'),
    names: reserved.filter(each => typeof each === 'string')
  }
}

function note(comment: string | null | undefined, path: readonly number[], comments: Location[]): void {
  if (comment) comments.push({ path, span: [0, 0, 0], leadingComments: comment.replace(/^(?=.)/gm, ' ') + '\n' })
}

// Source of both: protoc, `ToJsonName` and `MapEntryName`.
function jsonName(name: string): string {
  return name.replace(/_+(.?)/g, (_, next: string) => next.toUpperCase())
}

function entryName(name: string): string {
  return `${jsonName(`_${name}`)}Entry`
}

function nameOf({ fullName }: ProtoObject): string {
  return fullName.replace(/^\./, '')
}

function isType(object: ProtoObject): object is Type {
  return 'fieldsArray' in object
}

function isEnum(object: ProtoObject): object is Enum {
  return 'valuesById' in object
}

function isService(object: ProtoObject): object is Service {
  return 'methodsArray' in object
}

function refuse(what: string, where: string): never {
  throw new StreamError('bad-schema', `Protobuf schema: '${where}': ${what}, which needs protoc or buf`)
}
