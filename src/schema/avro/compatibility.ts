import { logicalOf } from './logical-type.ts'
import {
  branchName,
  describe,
  isNamed,
  simpleName,
  type AvroType,
  type EnumType,
  type Field,
  type RecordType,
  type UnionType
} from './model.ts'

/** One reason why a reader cannot read what a writer writes. */
export interface Problem {
  /** `field 'Trade.cents'`, `the schema`. */
  readonly where: string
  readonly reason: string
  /** What to change, when the reader is the new schema. */
  readonly fixReader: string
  /** What to change, when the writer is the new schema. */
  readonly fixWriter: string
}

/**
 * Every reason why `reader` cannot read all that `writer` may write; empty when it can. The rules are those of the Avro
 * specification, "Schema Resolution", plus one of our own: a logical type may come or go, but not change into another,
 * because the same number would then mean something else.
 */
export function checkAvro(reader: AvroType, writer: AvroType): Problem[] {
  return resolve(reader, writer, { where: 'the schema', assumed: new Map() })
}

interface Place {
  readonly where: string
  /** Pairs under way: a recursive schema is compatible if it is everywhere else. */
  readonly assumed: Map<AvroType, Set<AvroType>>
}

const promotions: Readonly<Record<string, readonly string[]>> = {
  int: ['long', 'float', 'double'],
  long: ['float', 'double'],
  float: ['double'],
  string: ['bytes'],
  bytes: ['string']
}

function resolve(reader: AvroType, writer: AvroType, place: Place): Problem[] {
  if (writer.kind === 'union') return writer.branches.flatMap(branch => resolve(reader, branch, place))
  if (reader.kind === 'union') return intoUnion(reader, writer, place)
  if (reader.kind === 'record' && writer.kind === 'record') return records(reader, writer, place)
  if (reader.kind === 'enum' && writer.kind === 'enum')
    return named(reader, writer, place) ?? enums(reader, writer, place)
  if (reader.kind === 'fixed' && writer.kind === 'fixed') {
    const misnamed = named(reader, writer, place)
    if (misnamed) return misnamed
    if (reader.size !== writer.size)
      return [
        problem(
          place,
          `is ${reader.size} bytes for the reader and ${writer.size} for the writer`,
          `keep fixed ${writer.name} at ${writer.size} bytes`,
          `keep fixed ${reader.name} at ${reader.size} bytes`
        )
      ]
    return logicals(reader, writer, place)
  }
  if (reader.kind === 'array' && writer.kind === 'array')
    return resolve(reader.items, writer.items, { ...place, where: items(place) })
  if (reader.kind === 'map' && writer.kind === 'map')
    return resolve(reader.values, writer.values, { ...place, where: items(place) })
  if (reader.kind === writer.kind || promotions[writer.kind]?.includes(reader.kind))
    return logicals(reader, writer, place)
  return [
    problem(
      place,
      `is ${describe(writer)} for the writer and ${describe(reader)} for the reader, which cannot read it`,
      `keep ${describe(writer)}, or add a new field`,
      `keep ${describe(reader)}, or add a new field`
    )
  ]
}

function intoUnion(reader: UnionType, writer: AvroType, place: Place): Problem[] {
  let ofSameName: Problem[] | undefined
  for (const branch of reader.branches) {
    const problems = resolve(branch, writer, place)
    if (problems.length === 0) return []
    if (simpleName(branchName(branch)) === simpleName(branchName(writer))) ofSameName = problems
  }
  // A branch of the same name says what is wrong inside; else no branch fits at all.
  if (ofSameName) return ofSameName
  return [
    problem(
      place,
      `may be ${describe(writer)} for the writer, which no branch of the reader's union takes`,
      `keep ${branchName(writer)} in the union`,
      `add ${branchName(writer)} to the union only after all readers know it`
    )
  ]
}

function records(reader: RecordType, writer: RecordType, place: Place): Problem[] {
  const misnamed = named(reader, writer, place)
  if (misnamed) return misnamed
  const assumed = place.assumed.get(reader)
  if (assumed?.has(writer)) return []
  place.assumed.set(reader, new Set(assumed).add(writer))
  return reader.fields.flatMap(field => {
    const where = `field '${reader.name}.${field.name}'`
    const matches = writer.fields.filter(candidate => [field.name, ...field.aliases].includes(candidate.name))
    const [match] = matches
    if (matches.length > 1)
      return [
        problem(
          { ...place, where },
          `stands for ${matches.map(({ name }) => `'${name}'`).join(' and ')} of the writer by its aliases`,
          'keep the alias of one',
          'write one of them'
        )
      ]
    if (match) return resolve(field.type, match.type, { ...place, where })
    return field.default === undefined ? [missing(field, { ...place, where })] : []
  })
}

function missing(field: Field, place: Place): Problem {
  const nullable = field.type.kind === 'union' && field.type.branches[0]?.kind === 'null'
  return problem(
    place,
    'is not written, and has no default for the reader',
    `give it a default${nullable ? ' ("default": null)' : ''}, or an alias if it was renamed`,
    'keep the field; it can go once every reader has a default for it'
  )
}

function enums(reader: EnumType, writer: EnumType, place: Place): Problem[] {
  if (reader.default !== undefined) return []
  const unknown = writer.symbols.filter(symbol => !reader.symbols.includes(symbol))
  if (unknown.length === 0) return []
  return [
    problem(
      place,
      `may hold ${unknown.join(', ')} of enum ${writer.name}, which the reader does not know`,
      `keep ${unknown.length === 1 ? 'the symbol' : 'the symbols'}, or give the enum a default`,
      `add ${unknown.length === 1 ? 'the symbol' : 'the symbols'} only after all readers know ${unknown.length === 1 ? 'it' : 'them'}, or have a default`
    )
  ]
}

/** Named types match by name without namespace, or by an alias of the reader. */
function named(reader: AvroType, writer: AvroType, place: Place): Problem[] | undefined {
  if (!isNamed(reader) || !isNamed(writer)) return undefined
  const names = [reader.name, ...reader.aliases].map(simpleName)
  if (names.includes(simpleName(writer.name))) return undefined
  return [
    problem(
      place,
      `is ${describe(writer)} for the writer and ${describe(reader)} for the reader`,
      `keep the name ${writer.name}, or add it to the aliases of ${reader.name}`,
      `keep the name ${reader.name}`
    )
  ]
}

function logicals(reader: AvroType, writer: AvroType, place: Place): Problem[] {
  const [read, written] = [logicalOf(reader), logicalOf(writer)]
  if (!read || !written) return []
  if (read.name !== written.name)
    return [
      problem(
        place,
        `is ${written.name} for the writer and ${read.name} for the reader: the same number would mean something else`,
        `keep ${written.name}, or add a new field`,
        `keep ${read.name}, or add a new field`
      )
    ]
  if (read.scale !== written.scale)
    return [
      problem(
        place,
        `is a decimal of scale ${written.scale} for the writer and ${read.scale} for the reader`,
        `keep scale ${written.scale}, or add a new field`,
        `keep scale ${read.scale}, or add a new field`
      )
    ]
  if ((read.precision ?? 0) < (written.precision ?? 0))
    return [
      problem(
        place,
        `is a decimal of precision ${written.precision} for the writer and only ${read.precision} for the reader`,
        `keep precision ${written.precision} or more`,
        `keep precision ${read.precision} or less`
      )
    ]
  return []
}

function items(place: Place): string {
  return place.where.startsWith('the items of') ? place.where : `the items of ${place.where}`
}

function problem(place: Place, reason: string, fixReader: string, fixWriter: string): Problem {
  return { where: place.where, reason, fixReader, fixWriter }
}
