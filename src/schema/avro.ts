import { StreamError } from '../core/errors.ts'
import type { Codec, CodecContext } from '../core/codec.ts'
import type { RegisteredSchema, SchemaRegistry } from '../core/registry.ts'
import { bareCodec, createEngine, framedCodec } from './avro/codec.ts'
import { canonicalOf } from './avro/canonical.ts'
import { checkAvro } from './avro/compatibility.ts'
import type { AvroSchema, AvroValue } from './avro/infer.ts'
import { isNamed, type AvroType } from './avro/model.ts'
import { fromText, parseAvro } from './avro/parse.ts'
import { loadAvsc } from './avro/peer.ts'
import { dependenciesOf } from './registry/references.ts'
import { registerReferences, subjectFor, type ReferencedSchema, type SubjectStrategy } from './subjects.ts'

export interface AvroOptions {
  /**
   * The subject of the schema in the registry, or how it is named (`topicName`, `recordName`, `topicRecordName`, or a
   * function of yours). Default: `topicName`, which gives `<topic>-value` and `<topic>-key`.
   */
  readonly subject?: string | SubjectStrategy
  /**
   * Schemas of other subjects whose types this one names, those that others need first. They are registered before it;
   * with `register: false` they are looked up.
   */
  readonly references?: readonly ReferencedSchema[]
  /**
   * What happens at start. `true`, the default: the schema is registered, under the compatibility rule of its subject.
   * `false`: it is only looked up, for services whose schemas are registered by others. A schema that is not found then
   * still reads (it may name fewer fields than were written), and writing throws `bad-schema`.
   */
  readonly register?: boolean
  /**
   * `true`, the default: the id of the schema goes with the value, as the registry has it: in Confluent's wire format, a zero
   * and four bytes before it. `false`: the value alone, without a registry; both sides must then have the very same schema.
   */
  readonly id?: boolean
  /**
   * How `long` looks. `'bigint'`, the default, holds all 64 bits. `'number'` is faster to compute with, and refuses
   * values beyond 2^53 on both sides rather than round them.
   */
  readonly long?: 'bigint' | 'number'
}

type LongOf<Options> = Options extends { readonly long: 'number' } ? number : bigint

/**
 * Avro. The type of the value comes from the schema itself when that is written as a literal (`AvroValue` says how), so
 * there is no code to generate.
 *
 * Needs the package `avsc`, loaded when a client binds the codec; before that, `encode` and `decode` throw
 * `bad-config`.
 *
 * Errors. Here: `bad-schema`, a malformed schema. At start: `peer-missing`, `bad-config` (no registry), `bad-schema`
 * (refused by the rule of the subject), `connection`. Per record: `bad-record`, bytes or values that do not fit, in
 * bounded time and memory whatever the bytes are; `bad-schema`, an unknown id or a writer's schema that this one cannot
 * read.
 *
 * @example
 * const trades = topic('trades', {
 *   value: avro({
 *     type: 'record',
 *     name: 'Trade',
 *     fields: [
 *       { name: 'symbol', type: 'string' },
 *       { name: 'cents', type: 'long' },
 *       { name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' } }
 *     ]
 *   })
 * }) // Topic<'trades', …, { symbol: string; cents: bigint; at: Date }>
 */
export function avro<const Schema extends AvroSchema, const Options extends AvroOptions>(
  schema: Schema,
  options?: Options
): Codec<AvroValue<Schema, LongOf<Options>>>
/** For a schema that is only known as text, or imported from JSON: the type is promised, the bytes are checked. */
export function avro<Value>(schema: string | object, options?: AvroOptions): Codec<Value>
export function avro(schema: unknown, options: AvroOptions = {}): any {
  checkOptions(options)
  const definition = fromText(schema)
  const referenced = (options.references ?? []).map(nameReference)
  const parsed = parseAvro(definition, { dependencies: referenced })
  const { long = 'bigint' } = options
  const unbound: Codec<unknown> = {
    name: 'avro',
    encode: refuseUnbound,
    decode: refuseUnbound,
    async bind(context) {
      const { registry } = context
      if (options.id !== false && !registry) throw noRegistry(context)
      const avsc = await loadAvsc()
      const engine = createEngine(avsc, parsed, long)
      if (options.id === false) return bareCodec('avro', engine)
      const subject = subjectFor(options.subject, context, isNamed(parsed) ? parsed.name : undefined)
      const references = await registerReferences(registry!, 'AVRO', referenced, options.register !== false)
      const schema = JSON.stringify(definition)
      const text = { type: 'AVRO' as const, schema, ...(references.length > 0 && { references }) }
      const own =
        options.register === false
          ? await find(registry!, subject, parsed, text)
          : await registry!.register(subject, text)
      return framedCodec('avro', engine, registry!, own, { avsc, long, context })
    }
  }
  return unbound
}

/** An Avro reference is called by the full name of the type that it brings. */
function nameReference({ subject, name, schema }: ReferencedSchema): { subject: string; name: string; schema: string } {
  const definition = fromText(schema) as { name?: unknown; namespace?: unknown }
  const own = typeof definition?.name === 'string' ? definition.name : undefined
  const full =
    own && !own.includes('.') && typeof definition.namespace === 'string' ? `${definition.namespace}.${own}` : own
  if (name === undefined && full === undefined)
    throw new StreamError(
      'bad-schema',
      `avro: the reference to '${subject}' has no name: only records, enums and fixed do`
    )
  return { subject, name: name ?? full!, schema: JSON.stringify(definition) }
}

async function find(
  registry: SchemaRegistry,
  subject: string,
  parsed: AvroType,
  text: Omit<RegisteredSchema, 'id'>
): Promise<RegisteredSchema | { missing: string }> {
  const found = await registry.lookup?.(subject, text)
  if (found) return found
  const latest = await registry.latest(subject)
  if (latest?.type === 'AVRO') {
    const writer = parseAvro(latest.schema, { lenient: true, dependencies: await dependenciesOf(latest, registry) })
    if (canonicalOf(writer) === canonicalOf(parsed)) return latest
    const problems = checkAvro(parsed, writer)
    if (problems.length > 0) {
      const sentences = problems.map(({ where, reason, fixReader }) => `${where} ${reason}; ${fixReader}`).join('\n- ')
      throw new StreamError(
        'bad-schema',
        `the schema cannot read the last version of subject '${subject}':\n- ${sentences}`
      )
    }
  }
  return {
    missing: `the schema is not registered under '${subject}' in ${registry.name}, and avro(schema, { register: false }) does not register it`
  }
}

function refuseUnbound(): never {
  throw new StreamError(
    'bad-config',
    'this avro codec is not bound: connect() binds the codecs of topics; by hand, await codec.bind(context) first'
  )
}

function noRegistry({ topic, part }: CodecContext): StreamError {
  return new StreamError(
    'bad-config',
    `avro() of topic '${topic}' (${part}) needs a schema registry: connect({ registry: fileRegistry('./schemas') }); ` +
      'for Avro without one, avro(schema, { id: false })'
  )
}

const known: ReadonlySet<string> = new Set<keyof AvroOptions>(['subject', 'references', 'register', 'id', 'long'])

function checkOptions(options: AvroOptions): void {
  for (const name of Object.keys(options))
    if (!known.has(name))
      throw new StreamError('bad-config', `avro: unknown option '${name}'; known are ${[...known].join(', ')}`)
  const { long } = options
  if (long !== undefined && long !== 'bigint' && long !== 'number')
    throw new StreamError('bad-config', `avro: option 'long' must be 'bigint' or 'number', got ${JSON.stringify(long)}`)
}
