import { StreamError } from '../../core/errors.ts'

/** A JSON Schema: an object, or `true` (anything), `false` (nothing). */
export type JsonSchema = boolean | Readonly<Record<string, unknown>>

export function parseJsonSchema(text: string): JsonSchema {
  let schema: unknown
  try {
    schema = JSON.parse(text)
  } catch (error) {
    throw new StreamError('bad-schema', 'JSON Schema: the text is not JSON', { cause: error })
  }
  if (isSchema(schema)) return schema
  throw new StreamError('bad-schema', 'JSON Schema: expected an object or a boolean')
}

export function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'boolean' || isObject(value)
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What `$ref` points to inside the same document (`#`, `#/$defs/Name`); nothing for any other reference. */
export function dereference(schema: JsonSchema, root: JsonSchema): JsonSchema | undefined {
  let current: JsonSchema = schema
  for (let steps = 0; steps < 32; steps++) {
    if (typeof current === 'boolean' || typeof current['$ref'] !== 'string') return current
    const target = pointer(current['$ref'], root)
    if (target === undefined) return undefined
    current = target
  }
  return undefined
}

function pointer(reference: string, root: JsonSchema): JsonSchema | undefined {
  if (reference === '#') return root
  if (!reference.startsWith('#/')) return undefined
  let current: unknown = root
  for (const step of reference.slice(2).split('/')) {
    const key = decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, key)) return undefined
    current = (current as Record<string, unknown>)[key]
  }
  return isSchema(current) ? current : undefined
}
