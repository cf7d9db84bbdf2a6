import { StreamError } from '../core/errors.ts'
import type { Codec } from '../core/codec.ts'
import type { RegisteredSchema } from '../core/registry.ts'
import { compileAjv, type AjvIssue, type AjvValidator } from './json/ajv.ts'
import { jsonBytes, parseJson, parseWhole } from './json/text.ts'
import { marksOf } from './json/sensitive.ts'
import { placementOf } from './placement.ts'
import { isPlain, secretsIn, shownPath, type Marks } from './sensitive.ts'
import { registerReferences, subjectFor, type ReferencedSchema, type SubjectStrategy } from './subjects.ts'
import { confluentFraming } from './wire.ts'
import { createWriters } from './writers.ts'

export interface JsonSchemaOptions {
  /**
   * The subject of the schema in the registry, or how it is named (`topicName`, `recordName` after its `title`,
   * `topicRecordName`, or a function of yours). Default: `topicName`, which gives `<topic>-value` and `<topic>-key`.
   */
  readonly subject?: string | SubjectStrategy
  /** `false`: plain JSON, whatever registry the client has. Default `true`. */
  readonly id?: boolean
  /** Schemas of other subjects that a `$ref` names, those that others need first; `name` is the text of the `$ref`. */
  readonly references?: readonly (ReferencedSchema & { readonly name: string })[]
  /** What `format` means, by name. Formats that are not named are not checked. */
  readonly formats?: Readonly<Record<string, RegExp | ((text: string) => boolean)>>
}

/**
 * JSON whose values are checked by a JSON Schema (draft 7, 2019-09, 2020-12), when they are written and when they are
 * read. The type is promised. Keywords change no value: defaults are not filled in.
 *
 * With a registry, the schema is registered at start and each record carries its id in Confluent's wire format; an id is
 * looked up before its record is read. Without one, records are plain JSON. Plain JSON is read always.
 *
 * Needs the package `ajv`.
 *
 * Errors: `bad-config`; at start `peer-missing`, `bad-schema`, `connection`; per record `bad-record`, naming the place and
 * the keyword and never the value, `bad-schema`, an id that is unknown or of another type.
 *
 * @example
 * const orders = topic('orders', { key: text, value: jsonSchema<Order>(orderSchema) })
 */
export function jsonSchema<Value>(schema: object | boolean | string, options: JsonSchemaOptions = {}): Codec<Value> {
  for (const name of Object.keys(options))
    if (!optionNames.includes(name))
      throw new StreamError('bad-config', `jsonSchema: unknown option '${name}'; known are ${optionNames.join(', ')}`)
  const definition = read(schema)
  const referenced = (options.references ?? []).map(({ subject, name, schema: inner }) => {
    if (typeof name !== 'string')
      throw new StreamError(
        'bad-config',
        `jsonSchema: the reference to '${subject}' needs a name: the text of the $ref`
      )
    return { subject, name, schema: JSON.stringify(read(inner)) }
  })
  return {
    name: 'json-schema',
    encode: unbound,
    decode: unbound,
    async bind(context) {
      const { registry } = context
      const validate = await compileAjv({
        schema: definition,
        references: referenced.map(({ name, schema: text }) => ({ name, schema: JSON.parse(text) as object })),
        formats: options.formats ?? {}
      })
      const marks = marksOf(definition)
      const check = (value: unknown): unknown => checked(validate, value, marks)
      const redacting = isPlain(marks) ? {} : { secretsIn: (value: unknown) => secretsIn(value, marks) }
      if (!registry || options.id === false)
        return {
          ...redacting,
          name: 'json-schema',
          encode: value => jsonBytes(check(value), undefined),
          decode: bytes => check(parseJson(bytes, confluentFraming)) as Value
        }
      const references = await registerReferences(registry, 'JSON', referenced, true)
      const title = typeof definition === 'object' ? (definition as { title?: unknown }).title : undefined
      const own = await registry.register(
        subjectFor(options.subject, context, typeof title === 'string' ? title : undefined),
        {
          type: 'JSON',
          schema: JSON.stringify(definition),
          ...(references.length > 0 && { references })
        }
      )
      const placement = placementOf(registry, own, context)
      const { framing } = placement
      const accept = (registered: RegisteredSchema): true => {
        if (registered.type === 'JSON') return true
        throw new StreamError('bad-schema', `schema ${registered.id} is ${registered.type}, expected JSON`)
      }
      const writers = createWriters<true>(registry, accept, placement)
      writers.add(own.id, true)
      return {
        ...placement.front,
        ...redacting,
        name: 'json-schema',
        encode: value => jsonBytes(check(value), placement),
        decode(bytes, headers) {
          const isFramed = framing.isFramed(bytes)
          // No text of JSON begins as an id in front does; without headers (the key of a timer) that is all there is to tell.
          const id = isFramed && !headers ? undefined : placement.beside(bytes, headers)
          if (id !== undefined) {
            writers.get(id)
            return check(parseWhole(bytes)) as Value
          }
          if (isFramed) writers.get(framing.idAt(bytes))
          return check(parseJson(bytes, framing)) as Value
        },
        prepare: (payloads, headers) => writers.prepare(payloads, headers)
      }
    }
  }
}

const optionNames: readonly string[] = ['subject', 'id', 'references', 'formats']

function read(schema: unknown): object | boolean {
  let parsed = schema
  try {
    if (typeof schema === 'string') parsed = JSON.parse(schema)
  } catch (error) {
    throw new StreamError('bad-schema', 'JSON Schema: the text is not JSON', { cause: error })
  }
  if (typeof parsed === 'boolean' || (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)))
    return parsed
  throw new StreamError('bad-schema', 'JSON Schema: expected an object or a boolean')
}

function checked(validate: AjvValidator, value: unknown, marks: Marks): unknown {
  let fits: unknown
  try {
    fits = validate(value)
  } catch {
    throw new StreamError('bad-record', 'the value is nested too deeply to be checked')
  }
  if (fits === true) return value
  throw new StreamError('bad-record', `the value does not fit its schema: ${describe(validate.errors?.[0], marks)}`)
}

/** The parameters of these keywords come from the schema, never from the value. */
const telling: Readonly<Record<string, string>> = {
  type: 'type',
  required: 'missingProperty',
  minimum: 'limit',
  maximum: 'limit',
  exclusiveMinimum: 'limit',
  exclusiveMaximum: 'limit',
  minLength: 'limit',
  maxLength: 'limit',
  minItems: 'limit',
  maxItems: 'limit',
  format: 'format',
  multipleOf: 'multipleOf'
}

function describe(issue: AjvIssue | undefined, marks: Marks): string {
  if (!issue) return 'no reason given'
  const path = issue.instancePath
    .split('/')
    .slice(1)
    .map(step => step.replaceAll('~1', '/').replaceAll('~0', '~'))
  const shown = shownPath(path, marks)
  const where = shown.length === 0 ? 'the whole value' : `'${shown.join('.')}'`
  const parameter = telling[issue.keyword]
  return `${where}: ${issue.keyword}${parameter ? ` ${String(issue.params[parameter])}` : ''}`
}

function unbound(): never {
  throw new StreamError(
    'bad-config',
    'this codec is not bound: connect() binds the codecs of topics; by hand, await codec.bind(context) first'
  )
}
