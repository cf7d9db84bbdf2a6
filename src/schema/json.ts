import { StreamError } from '../core/errors.ts'
import type { Codec } from '../core/codec.ts'
import type { StandardSchema, InputOf, JsonSchemaSource, OutputOf } from './json/standard-schema.ts'
import { marksOf } from './json/sensitive.ts'
import { jsonBytes, parseJson } from './json/text.ts'
import { createCheck } from './json/validate.ts'
import { placementOf, type Placement } from './placement.ts'
import { secretsIn, shownPath, unmarked, type Marks } from './sensitive.ts'
import { subjectFor, type SubjectStrategy } from './subjects.ts'
import { confluentFraming } from './wire.ts'

export interface JsonOptions {
  /**
   * The subject of the schema in the registry, or how it is named (`topicName`, `recordName`, `topicRecordName`, or a
   * function of yours). Default: `topicName`, which gives `<topic>-value` and `<topic>-key`.
   */
  readonly subject?: string | SubjectStrategy
  /** `false`: plain JSON, whatever registry the client has. Default `true`. */
  readonly id?: boolean
}

/** In the place of a validator whose output it does not take back: what was read could not be written again. */
export interface OneWaySchema {
  readonly error: 'this schema changes the type of the value (a transform): what it gives, it does not take, so that a value could not be both written and read'
}

type TwoWay<Schema extends StandardSchema> = OutputOf<Schema> extends InputOf<Schema> ? unknown : OneWaySchema

/**
 * JSON whose values are checked, when they are written and when they are read, by any Standard Schema validator (zod,
 * Valibot, ArkType and others); the type is the validator's output.
 *
 * With a schema registry, and a validator that can say itself as JSON Schema (`StandardJSONSchemaV1`; zod 4 can), the
 * schema is registered at start and each record carries its id in Confluent's wire format. Else records are plain JSON.
 * Both kinds are read, always: the first byte tells them apart.
 *
 * Errors: `bad-record`, naming the place and never the value; `bad-config`, an asynchronous validator; at start
 * `bad-schema` (refused by the rule of the subject, or without a JSON Schema form), `connection`.
 *
 * @example
 * const orders = topic('orders', { key: text, value: json(z.object({ id: z.string(), cents: z.int() })) })
 */
export function json<Schema extends StandardSchema<any, any>>(
  validator: Schema & TwoWay<Schema>,
  options: JsonOptions = {}
): Codec<OutputOf<Schema>> {
  const schema: StandardSchema = validator
  if (typeof schema?.['~standard']?.validate !== 'function')
    throw new StreamError(
      'bad-config',
      "json(validator) takes a Standard Schema validator; for JSON without a check, use json<Type>() of 'tidemark'"
    )
  for (const name of Object.keys(options))
    if (name !== 'subject' && name !== 'id')
      throw new StreamError('bad-config', `json: unknown option '${name}'; known are subject, id`)
  return {
    ...codec(schema, undefined),
    async bind(context) {
      const { registry } = context
      if (!registry || options.id === false) return codec(schema, undefined)
      const text = jsonSchemaOf(schema)
      if (text === undefined) return codec(schema, undefined)
      const title = (JSON.parse(text) as { title?: unknown }).title
      const subject = subjectFor(options.subject, context, typeof title === 'string' ? title : undefined)
      const own = await registry.register(subject, { type: 'JSON', schema: text })
      return codec(schema, placementOf(registry, own, context))
    }
  }
}

function codec(validator: StandardSchema, placement: Placement | undefined): Codec<any> {
  let known: Marks | undefined
  // Made when it is needed: a value is refused, or parked.
  const marks = (): Marks => (known ??= marksOfValidator(validator))
  const check = createCheck(validator, path => shownPath(path, marks()))
  const framing = placement?.framing ?? confluentFraming
  return {
    // What stands in headers is for others: the validator here reads all that is JSON.
    ...placement?.front,
    readsHeaders: false,
    secretsIn: value => secretsIn(value, marks()),
    name: 'json',
    encode: value => jsonBytes(check(value), placement),
    decode: bytes => check(parseJson(bytes, framing))
  }
}

/** A validator that cannot say itself as JSON Schema cannot say its marks. */
function marksOfValidator(validator: StandardSchema): Marks {
  try {
    return marksOf(JSON.parse(jsonSchemaOf(validator) ?? '{}'))
  } catch {
    return unmarked()
  }
}

/** The schema of what is read, as text; nothing when the validator cannot say it. */
function jsonSchemaOf(validator: StandardSchema): string | undefined {
  const source = (validator['~standard'] as Partial<JsonSchemaSource>).jsonSchema
  if (typeof source?.input !== 'function') return undefined
  try {
    // The draft that all registries know.
    return JSON.stringify(source.input({ target: 'draft-07' }))
  } catch (error) {
    throw new StreamError(
      'bad-schema',
      `json(validator): the schema has no JSON Schema form (${(error as Error).message}); for plain JSON, json(validator, { id: false })`,
      { cause: error }
    )
  }
}
