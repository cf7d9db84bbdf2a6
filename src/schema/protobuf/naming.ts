import { StreamError } from '../../core/errors.ts'
import type { SchemaRegistry } from '../../core/registry.ts'
import { readIndexes, readVarint, unsignedVarint, writeIndexes } from './indexes.ts'
import type { Message, ProtoFile } from './parse.ts'

/** How a payload says which message of its file it is. */
export interface Naming {
  /** What says it. Throws `unsupported` where the message cannot be named. */
  write(file: ProtoFile, name: string): Buffer
  /** Its place, as `find` takes it, and where it ends. Throws `bad-record`. */
  read(bytes: Buffer, start: number): { readonly place: readonly number[]; readonly end: number }
  /** The full name of the message at the place, in the file of the writer. */
  find(file: ProtoFile, place: readonly number[]): string | undefined
}

/** Confluent: the places from the outermost message to it. */
const indexes: Naming = {
  write: (file, name) => writeIndexes(indexesIn(file.messages, name) ?? missing(name)),
  read(bytes, start) {
    const { indexes: place, end } = readIndexes(bytes, start)
    return { place, end }
  },
  find(file, place) {
    let messages = file.messages
    let found: Message | undefined
    for (const index of place) {
      found = messages[index]
      if (!found) return undefined
      messages = found.nested
    }
    return found?.name
  }
}

function indexesIn(messages: readonly Message[], name: string): readonly number[] | undefined {
  for (const [index, message] of messages.entries()) {
    if (message.name === name) return [index]
    const inner = indexesIn(message.nested, name)
    if (inner) return [index, ...inner]
  }
  return undefined
}

/**
 * AWS Glue: the place among the names of all messages of the file in order, those that stand for the entries of maps included, as a
 * varint. Source: AWS Glue Schema Registry library, `MessageIndexFinder`, `ProtobufWireFormatEncoder`.
 */
const position: Naming = {
  write(file, name) {
    const index = namesOf(file).indexOf(name)
    return Buffer.from(unsignedVarint(index < 0 ? missing(name) : index))
  },
  read(bytes, start) {
    const { value, end } = readVarint(bytes, start)
    return { place: [value], end }
  },
  find(file, [index]) {
    const name = namesOf(file)[index!]
    return name !== undefined && file.byName.has(name) ? name : undefined
  }
}

function namesOf(file: ProtoFile): readonly string[] {
  const all = (message: Message): readonly string[] => [
    message.name,
    ...message.fields
      .filter(({ type }) => type.startsWith('map<'))
      .map(({ name }) => `${message.name}.${entryOf(name)}`),
    ...message.nested.flatMap(all)
  ]
  // By UTF-16 units, as Java compares.
  return file.messages.flatMap(all).toSorted((left, right) => (left < right ? -1 : 1))
}

/** The message that the compiler makes up for the entries of a map. */
function entryOf(field: string): string {
  return `${field.replaceAll(/(?:^|_)([a-z])?/g, (_, letter: string | undefined) => letter?.toUpperCase() ?? '')}Entry`
}

/** Pub/Sub: a file has one message, and nothing needs to be said. */
const only: Naming = {
  write(file, name) {
    if (file.messages.length === 1 && file.messages[0]!.name === name) return Buffer.alloc(0)
    throw new StreamError(
      'unsupported',
      `records do not say which message of a file they are there: the file of ${name} may hold no other message beside it`
    )
  },
  read: (_, start) => ({ place: [], end: start }),
  find: ({ messages }) => (messages.length === 1 ? messages[0]!.name : undefined)
}

/** Pulsar: the schema itself says which. */
const root: Naming = {
  write: () => Buffer.alloc(0),
  read: only.read,
  find: file => file.root
}

export const namings: Readonly<Record<NonNullable<SchemaRegistry['messages']>, Naming>> = {
  indexes,
  position,
  only,
  root
}

function missing(name: string): never {
  throw new StreamError('bad-schema', `Protobuf schema: it holds no message ${name}`)
}
