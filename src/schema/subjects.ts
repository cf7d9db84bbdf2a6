import { StreamError } from '../core/errors.ts'
import type { CodecContext } from '../core/codec.ts'
import type { RegisteredSchema, SchemaReference, SchemaRegistry } from '../core/registry.ts'

/**
 * Names the subject that a schema stands under. `record` is the full name of the schema itself: the record's in Avro, the
 * message's in Protobuf, the `title` in JSON Schema.
 */
export type SubjectStrategy = (context: {
  readonly topic: string
  readonly part: 'key' | 'value'
  readonly record: string | undefined
}) => string

/** `orders-value`, `orders-key`: one type of records to a topic. The default, and that of Confluent's clients. */
export const topicName: SubjectStrategy = ({ topic, part }) => `${topic}-${part}`

/** `com.example.Order`: the same rule for the record in all topics. */
export const recordName: SubjectStrategy = ({ topic, record }) => record ?? unnamed(topic, 'recordName')

/** `orders-com.example.Order`: several types of records in one topic, each with versions of its own there. */
export const topicRecordName: SubjectStrategy = ({ topic, record }) =>
  `${topic}-${record ?? unnamed(topic, 'topicRecordName')}`

function unnamed(topic: string, strategy: string): never {
  throw new StreamError('bad-config', `topic '${topic}': ${strategy} needs a schema that has a name`)
}

export function subjectFor(
  option: string | SubjectStrategy | undefined,
  { topic, part, registry }: CodecContext,
  record: string | undefined
): string {
  const context = { topic, part, record }
  if (typeof option === 'string') return option
  return option?.(context) ?? registry?.subject?.(context) ?? topicName(context)
}

/** A schema of another subject, whose types a schema names. */
export interface ReferencedSchema {
  readonly subject: string
  /** As the schema calls it. Default for Avro: its own full name. */
  readonly name?: string
  /** Its definition, as object or text. */
  readonly schema: unknown
}

type Lookup = SchemaRegistry['lookup'] & {}

/**
 * Registers the schemas that another one names, in their order (each may name those before it), or only looks them up,
 * and says how the other refers to them.
 */
export async function registerReferences(
  registry: SchemaRegistry,
  type: RegisteredSchema['type'],
  given: readonly {
    readonly subject: string
    readonly name: string
    readonly schema: string
    /** The names of those before it that it needs, when its text does not show them. */
    readonly imports?: readonly string[]
  }[],
  register: boolean
): Promise<readonly SchemaReference[]> {
  if (given.length === 0) return []
  const lookup: Lookup | undefined = registry.lookup?.bind(registry)
  if (!lookup || !registry.version)
    throw new StreamError('unsupported', `${registry.name} has no references between subjects`)
  const references: SchemaReference[] = []
  for (const { subject, name, schema, imports } of given) {
    // Those before it that it does not need do no harm, and which it needs only its text says.
    const needed = references.filter(reference => imports?.includes(reference.name) ?? schema.includes(reference.name))
    const text = { type, schema, ...(needed.length > 0 && { references: needed }) }
    if (register) await registry.register(subject, text)
    const version = (await lookup(subject, text))?.version
    if (version === undefined)
      throw new StreamError(
        'bad-schema',
        `the schema of reference '${name}' is not registered under '${subject}' in ${registry.name}`
      )
    references.push({ name, subject, version })
  }
  return references
}
