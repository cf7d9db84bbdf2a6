import type { Problem } from '../avro/compatibility.ts'
import type { Field, Message, ProtoFile } from './parse.ts'

/** Kinds whose bytes can be read as each other without a loss of meaning for small values. Source: Protobuf, "Updating A Message Type". */
const interchangeable: readonly ReadonlySet<string>[] = [
  new Set(['int32', 'uint32', 'int64', 'uint64', 'bool']),
  new Set(['sint32', 'sint64']),
  new Set(['fixed32', 'sfixed32']),
  new Set(['fixed64', 'sfixed64']),
  new Set(['string', 'bytes'])
]

/**
 * Every reason why messages of `writer` would be misread with `reader`; empty when they are not. Fields are the same by
 * number; a field that only one side knows is fine, unless it is required. Source: Protobuf, "Updating A Message Type".
 */
export function checkProto(reader: ProtoFile, writer: ProtoFile): Problem[] {
  const all = (list: readonly Message[]): string[] => list.flatMap(({ name, nested }) => [name, ...all(nested)])
  const problems = checkMessages(reader, writer, all(writer.messages))
  // A record says its message by its place in the file.
  const [first, other] = [writer.messages[0]?.name, reader.messages[0]?.name]
  if (first !== other && reader.byName.has(first ?? ''))
    problems.push({
      where: 'the schema',
      reason: `begins with message ${first} for the writer and with ${other} for the reader: the first one is what most clients take`,
      fixReader: `keep ${first} first`,
      fixWriter: `keep ${other} first`
    })
  return problems
}

/** The same for some messages of the writer, and what is inside them. */
export function checkMessages(reader: ProtoFile, writer: ProtoFile, names: readonly string[]): Problem[] {
  const seen = new Set<string>()
  const compare = (read: Message, written: Message): Problem[] => {
    const key = `${read.name}\n${written.name}`
    if (seen.has(key)) return []
    seen.add(key)
    return messages(read, written, (left, right) => {
      const [inner, outer] = [reader.byName.get(left), writer.byName.get(right)]
      return inner && outer ? compare(inner, outer) : []
    })
  }
  return names.flatMap(name => {
    const [read, written] = [reader.byName.get(name), writer.byName.get(name)]
    if (read && written) return compare(read, written)
    return [
      {
        where: `message '${name}'`,
        reason: 'is written, and the reader does not have it',
        fixReader: 'keep the message, and its name',
        fixWriter: 'add the message only after all readers know it'
      }
    ]
  })
}

function messages(reader: Message, writer: Message, inside: (reader: string, writer: string) => Problem[]): Problem[] {
  const written = new Map(writer.fields.map(field => [field.number, field]))
  const problems: Problem[] = []
  const at = (field: Field): string => `field '${writer.name}.${field.name}' (${field.number})`
  for (const field of reader.fields) {
    const match = written.get(field.number)
    if (match) problems.push(...fields(at(match), field, match), ...innerOf(field, match, inside))
    else if (field.label === 'required')
      problems.push({
        where: `field '${reader.name}.${field.name}' (${field.number})`,
        reason: 'is required by the reader and not written',
        fixReader: 'make it optional',
        fixWriter: 'keep the field; it can go once no reader requires it'
      })
  }
  for (const field of reader.fields) {
    const others = writer.fields.filter(other => other.name === field.name && other.number !== field.number)
    for (const other of others)
      problems.push({
        where: at(other),
        reason: `has the number ${field.number} for the reader: its values would be lost`,
        fixReader: `keep the number ${other.number}, or give the new field another name`,
        fixWriter: `keep the number ${field.number}, or give the new field another name`
      })
  }
  return [...problems, ...oneofs(reader, writer, at)]
}

function innerOf(reader: Field, writer: Field, inside: (reader: string, writer: string) => Problem[]): Problem[] {
  return reader.message && writer.message ? inside(reader.message, writer.message) : []
}

function fields(where: string, reader: Field, writer: Field): Problem[] {
  const problems: Problem[] = []
  if (!sameType(reader, writer))
    problems.push({
      where,
      reason: `is ${writer.type} for the writer and ${reader.type} for the reader, whose bytes mean something else`,
      fixReader: `keep ${writer.type}, or add a field with a new number`,
      fixWriter: `keep ${reader.type}, or add a field with a new number`
    })
  if ((reader.label === 'repeated') !== (writer.label === 'repeated'))
    problems.push({
      where,
      reason: `is ${writer.label || 'single'} for the writer and ${reader.label || 'single'} for the reader`,
      fixReader: 'keep it as it is, or add a field with a new number',
      fixWriter: 'keep it as it is, or add a field with a new number'
    })
  if (reader.label === 'required' && writer.label === '')
    problems.push({
      where,
      reason: 'is optional for the writer and required by the reader',
      fixReader: 'make it optional',
      fixWriter: 'keep it required; it can become optional once no reader requires it'
    })
  const unknown = reader.symbols ? (writer.symbols ?? []).filter(symbol => !reader.symbols!.includes(symbol)) : []
  if (unknown.length > 0 && reader.type !== writer.type)
    problems.push({
      where,
      reason: `may hold ${unknown.join(', ')} of ${writer.type}, which ${reader.type} has not`,
      fixReader: `keep ${writer.type}`,
      fixWriter: `keep ${reader.type}`
    })
  return problems
}

function sameType(reader: Field, writer: Field): boolean {
  if (reader.type === writer.type) return true
  // Whether the messages fit is looked at apart, an enum is a number.
  const simple = ({ type, symbols, message }: Field): string =>
    type.startsWith('map<') ? type : message ? 'message' : symbols ? 'int32' : type
  const [read, written] = [simple(reader), simple(writer)]
  return read === written || interchangeable.some(group => group.has(read) && group.has(written))
}

/** Two fields of one oneof can no longer both be set: a writer that sets both would lose one at the reader. */
function oneofs(reader: Message, writer: Message, at: (field: Field) => string): Problem[] {
  const problems: Problem[] = []
  const known = new Map(writer.fields.map(field => [field.number, field]))
  const groups = Map.groupBy(
    reader.fields.filter(field => field.oneof !== undefined),
    field => field.oneof!
  )
  for (const [name, members] of groups) {
    const before = members.flatMap(member => known.get(member.number) ?? [])
    const together = new Set(before.map(field => field.oneof ?? `alone ${field.number}`))
    if (together.size < 2) continue
    problems.push({
      where: at(before.at(-1)!),
      reason: `is in oneof '${name}' for the reader with fields that the writer may set beside it: all but one would be lost`,
      fixReader: 'leave fields that exist out of a oneof, or move one alone',
      fixWriter: `keep them in oneof '${name}'`
    })
  }
  return problems
}
