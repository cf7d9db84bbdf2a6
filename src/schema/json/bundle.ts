import { isObject, type JsonSchema } from './json-schema.ts'

/** One schema with those that it names inside its `$defs`, so that every `$ref` is a local one. */
export function bundle(
  schema: JsonSchema,
  dependencies: readonly { readonly name: string; readonly schema: string }[]
): JsonSchema {
  if (dependencies.length === 0 || typeof schema === 'boolean') return schema
  const names = new Set(dependencies.map(({ name }) => name))
  const rewrite = (value: unknown, place: string): unknown => {
    if (Array.isArray(value)) return value.map(item => rewrite(item, place))
    if (!isObject(value)) return value
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [
        key,
        key === '$ref' && typeof inner === 'string' ? reference(inner, place, names) : rewrite(inner, place)
      ])
    )
  }
  const definitions = dependencies.map(({ name, schema: text }) => [
    name,
    rewrite(JSON.parse(text) as unknown, `/$defs/${escape(name)}`)
  ])
  const root = rewrite(schema, '') as Record<string, unknown>
  return { ...root, $defs: { ...(root['$defs'] as object | undefined), ...Object.fromEntries(definitions) } }
}

/** @param place where the document of the reference stands in the bundle */
function reference(text: string, place: string, names: ReadonlySet<string>): string {
  const [name = '', fragment = ''] = text.split('#', 2)
  if (name === '') return `#${place}${fragment}`
  return names.has(name) ? `#/$defs/${escape(name)}${fragment}` : text
}

function escape(name: string): string {
  return encodeURIComponent(name.replaceAll('~', '~0').replaceAll('/', '~1'))
}
