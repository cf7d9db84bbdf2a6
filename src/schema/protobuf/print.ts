/** `google.protobuf.FileDescriptorProto` and its parts, as `@bufbuild/protobuf` holds them. */
interface FileProto {
  readonly package?: string
  readonly syntax?: string
  readonly edition?: number
  readonly dependency: readonly string[]
  readonly publicDependency?: readonly number[]
  readonly messageType: readonly MessageProto[]
  readonly enumType: readonly EnumProto[]
}

interface MessageProto {
  readonly name: string
  readonly field: readonly FieldProto[]
  readonly nestedType: readonly MessageProto[]
  readonly enumType: readonly EnumProto[]
  readonly oneofDecl: readonly { readonly name: string }[]
  readonly options?: { readonly mapEntry?: boolean } | undefined
  readonly reservedRange?: readonly { readonly start: number; readonly end: number }[]
  readonly reservedName?: readonly string[]
}

interface FieldProto {
  readonly name: string
  readonly number: number
  readonly label: number
  readonly type: number
  readonly typeName: string
  readonly oneofIndex?: number
  readonly proto3Optional?: boolean
  readonly jsonName?: string
}

interface EnumProto {
  readonly name: string
  readonly value: readonly { readonly name: string; readonly number: number }[]
  readonly options?: { readonly allowAlias?: boolean } | undefined
}

/** By the numbers of `FieldDescriptorProto.Type`; 10 is a group, 11 a message, 14 an enum. */
const scalars: Readonly<Record<number, string>> = {
  1: 'double',
  2: 'float',
  3: 'int64',
  4: 'uint64',
  5: 'int32',
  6: 'fixed64',
  7: 'fixed32',
  8: 'bool',
  9: 'string',
  12: 'bytes',
  13: 'uint32',
  15: 'sfixed32',
  16: 'sfixed64',
  17: 'sint32',
  18: 'sint64'
}

/** The text of a file from its descriptor: what registries store. Options that change no byte are left out. */
export function printProto(descriptor: unknown): string {
  const file = descriptor as FileProto
  const proto2 = file.syntax === undefined || file.syntax === '' || file.syntax === 'proto2'
  const lines = [`syntax = "${proto2 ? 'proto2' : 'proto3'}";`]
  if (file.package) lines.push(`package ${file.package};`)
  lines.push('', ...file.dependency.map(path => `import "${path}";`))
  for (const type of file.enumType) lines.push('', ...printEnum(type))
  for (const type of file.messageType) lines.push('', ...printMessage(type, proto2))
  return `${lines.join('\n').replace(/\n{3,}/g, '\n\n')}\n`
}

function printMessage(message: MessageProto, proto2: boolean): string[] {
  const entries = new Map(
    message.nestedType.filter(nested => nested.options?.mapEntry).map(nested => [nested.name, nested])
  )
  const body: string[] = []
  for (const { start, end } of message.reservedRange ?? [])
    body.push(`reserved ${start}${end > start + 1 ? ` to ${end - 1}` : ''};`)
  for (const name of message.reservedName ?? []) body.push(`reserved "${name}";`)
  const done = new Set<number>()
  for (const field of message.field) {
    // A field that is not set has a default, of the prototype.
    const oneofIndex = Object.hasOwn(field, 'oneofIndex') ? field.oneofIndex : undefined
    if (oneofIndex === undefined || field.proto3Optional) {
      body.push(printField(field, entries, proto2))
      continue
    }
    if (done.has(oneofIndex)) continue
    done.add(oneofIndex)
    const members = message.field.filter(other => Object.hasOwn(other, 'oneofIndex') && other.oneofIndex === oneofIndex)
    body.push(
      `oneof ${message.oneofDecl[oneofIndex]!.name} {`,
      ...members.map(member => `  ${typeOf(member)} ${member.name} = ${member.number};`),
      '}'
    )
  }
  for (const type of message.enumType) body.push(...printEnum(type))
  for (const nested of message.nestedType) if (!nested.options?.mapEntry) body.push(...printMessage(nested, proto2))
  return [`message ${message.name} {`, ...body.map(line => `  ${line}`), '}']
}

function printField(field: FieldProto, entries: ReadonlyMap<string, MessageProto>, proto2: boolean): string {
  const entry = entries.get(field.typeName.slice(field.typeName.lastIndexOf('.') + 1))
  if (entry && field.type === 11) {
    const [key, value] = entry.field
    return `map<${typeOf(key!)}, ${typeOf(value!)}> ${field.name} = ${field.number};`
  }
  const label =
    field.label === 3
      ? 'repeated '
      : field.label === 2
        ? 'required '
        : proto2 || field.proto3Optional
          ? 'optional '
          : ''
  return `${label}${typeOf(field)} ${field.name} = ${field.number};`
}

/** Names of messages and enums are absolute. */
function typeOf(field: FieldProto): string {
  return scalars[field.type] ?? field.typeName
}

function printEnum({ name, value, options }: EnumProto): string[] {
  const body = value.map(each => `  ${each.name} = ${each.number};`)
  return [`enum ${name} {`, ...(options?.allowAlias ? ['  option allow_alias = true;'] : []), ...body, '}']
}
