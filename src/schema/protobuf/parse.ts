import { StreamError } from '../../core/errors.ts'
import {
  loadedParser,
  type ProtoEnum,
  type ProtoField,
  type ProtoMessage,
  type ProtoNamespace,
  type ProtoObject,
  type Protobufjs
} from './peer.ts'

/** A `.proto` file, as far as the bytes of its messages and their meaning go. */
export interface ProtoFile {
  /** The messages of this file, in its order: their places are the message indexes of the wire format. */
  readonly messages: readonly Message[]
  /** All messages that may be met, those of imports included, by full name. */
  readonly byName: ReadonlyMap<string, Message>
  /** Full name of the message that is meant, where the schema says it. */
  readonly root?: string
}

export interface Message {
  /** Full name, without a dot in front. */
  readonly name: string
  readonly fields: readonly Field[]
  /** Messages inside it, in its order. */
  readonly nested: readonly Message[]
}

export interface Field {
  readonly number: number
  readonly name: string
  /** `int64`, `message com.example.Leg`, `enum com.example.Side`, `map<string, int32>`. */
  readonly type: string
  /** Full name, when values are messages. */
  readonly message?: string
  /** Numbers of the enum, when values are of one. */
  readonly symbols?: readonly number[]
  readonly label: 'required' | 'repeated' | ''
  /** The oneof it is in. */
  readonly oneof?: string
}

const self = 'self'
/** Nested definitions beyond this are refused. */
const depthLimit = 64

/**
 * Parses registry text. The parser must be loaded. Throws `bad-schema`.
 *
 * @param dependencies the files that it imports, those that others need first
 */
export function parseProto(
  text: string,
  dependencies: readonly { readonly name: string; readonly schema: string }[] = []
): ProtoFile {
  const parser = loadedParser()
  const root = new parser.Root()
  try {
    const known = new Set(dependencies.map(({ name }) => name))
    for (const { name, schema } of dependencies) parseInto(parser, root, name, schema, known)
    parseInto(parser, root, self, text, known)
    root.resolveAll()
  } catch (error) {
    throw new StreamError('bad-schema', `Protobuf schema: ${(error as Error).message}`, { cause: error })
  }
  const byName = new Map<string, Message>()
  const own = collect(root, byName, 0)
  if (own.length === 0) throw new StreamError('bad-schema', 'Protobuf schema: it holds no message')
  return { messages: own, byName }
}

function parseInto(
  parser: Protobufjs,
  root: InstanceType<Protobufjs['Root']>,
  name: string,
  text: string,
  known: ReadonlySet<string>
): void {
  parser.parse.filename = name
  try {
    const { imports = [] } = parser.parse(text, root, { keepCase: true })
    for (const path of imports) {
      const common = known.has(path) ? null : parser.common.get(path)
      if (common) root.addJSON(common.nested)
    }
  } finally {
    parser.parse.filename = null
  }
}

/** All messages below a namespace; returns those of the file itself that stand there. */
function collect(namespace: ProtoNamespace, byName: Map<string, Message>, depth: number): Message[] {
  if (depth > depthLimit) throw new StreamError('bad-schema', `Protobuf schema: nested deeper than ${depthLimit}`)
  const own: Message[] = []
  for (const inner of namespace.nestedArray) {
    if (isMessage(inner)) {
      const nested = collect(inner, byName, depth + 1)
      const message = { name: nameOf(inner), fields: inner.fieldsArray.map(fieldOf), nested }
      byName.set(message.name, message)
      if (inner.filename === self) own.push(message)
    } else if (isNamespace(inner)) own.push(...collect(inner, byName, depth + 1))
  }
  return own
}

function fieldOf(field: ProtoField): Field {
  const { resolvedType, partOf } = field
  const target = resolvedType && `${isMessage(resolvedType) ? 'message' : 'enum'} ${nameOf(resolvedType)}`
  const value = target ?? field.type
  const label = field.required ? 'required' : field.repeated ? 'repeated' : ''
  return {
    number: field.id,
    name: field.name,
    type: field.keyType ? `map<${field.keyType}, ${value}>` : value,
    label,
    ...(resolvedType && isMessage(resolvedType) && { message: nameOf(resolvedType) }),
    ...(resolvedType && !isMessage(resolvedType) && { symbols: Object.values((resolvedType as ProtoEnum).values) }),
    // `optional` in proto3 is a oneof of one, made up by the compiler.
    ...(partOf && !partOf.isProto3Optional && { oneof: partOf.name })
  }
}

function nameOf({ fullName }: ProtoObject): string {
  return fullName.replace(/^\./, '')
}

function isMessage(object: ProtoObject): object is ProtoMessage {
  return 'fieldsArray' in object
}

function isNamespace(object: ProtoObject): object is ProtoNamespace {
  return 'nestedArray' in object
}

/** The form in which two files are compared: formatting, comments, order of fields and options do not count. */
export function canonicalProto(
  text: string,
  dependencies: readonly { readonly name: string; readonly schema: string }[]
): string {
  const plain = (message: Message): object => ({
    ...message,
    fields: message.fields.toSorted((left, right) => left.number - right.number),
    nested: message.nested.map(plain)
  })
  return JSON.stringify(parseProto(text, dependencies).messages.map(plain))
}
