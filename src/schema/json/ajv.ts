import { StreamError } from '../../core/errors.ts'

/** The part of `ajv` that is used here. */
export interface AjvValidator {
  (value: unknown): unknown
  readonly errors?: readonly AjvIssue[] | null
}

export interface AjvIssue {
  readonly instancePath: string
  readonly keyword: string
  readonly params: Readonly<Record<string, unknown>>
}

interface Ajv {
  addSchema(schema: object, name: string): unknown
  compile(schema: object | boolean): AjvValidator
}

type AjvClass = new (options: object) => Ajv

export interface AjvInput {
  readonly schema: object | boolean
  readonly references: readonly { readonly name: string; readonly schema: object }[]
  /** By name: what a `format` asks for. */
  readonly formats: Readonly<Record<string, RegExp | ((text: string) => boolean)>>
}

/** Compiles a validator for a JSON Schema of draft 7, 2019-09 or 2020-12. Throws `peer-missing`, `bad-schema`. */
export async function compileAjv({ schema, references, formats }: AjvInput): Promise<AjvValidator> {
  const version = typeof schema === 'object' ? String((schema as { $schema?: unknown }).$schema ?? '') : ''
  const Class = await load(version)
  try {
    const ajv = new Class({
      strict: false,
      // All of them would be collected from a value that is wrong a million times.
      allErrors: false,
      validateFormats: Object.keys(formats).length > 0,
      formats,
      logger: false
    })
    for (const reference of references) ajv.addSchema(reference.schema, reference.name)
    return ajv.compile(schema)
  } catch (error) {
    throw new StreamError('bad-schema', `JSON Schema: ${(error as Error).message}`, { cause: error })
  }
}

async function load(version: string): Promise<AjvClass> {
  let module: unknown
  try {
    module = version.includes('2020-12')
      ? await import('ajv/dist/2020.js')
      : version.includes('2019-09')
        ? await import('ajv/dist/2019.js')
        : await import('ajv')
  } catch (error) {
    throw new StreamError('peer-missing', "jsonSchema() needs the package 'ajv': npm install ajv@8", { cause: error })
  }
  const found = module as { default?: unknown }
  const inner = found.default as { default?: unknown } | undefined
  return (typeof inner === 'function' ? inner : inner?.default) as AjvClass
}
