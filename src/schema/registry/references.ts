import { StreamError } from '../../core/errors.ts'
import type { RegisteredSchema, SchemaReference, SchemaRegistry } from '../../core/registry.ts'

/** A schema that another one names. */
export interface Dependency {
  /** How the other calls it. */
  readonly name: string
  readonly schema: string
}

/** So many schemas behind one, and no more: whoever may register could otherwise make every reader fetch for hours. */
const dependencyLimit = 100

type Referring = Pick<RegisteredSchema, 'references'>

/**
 * All schemas behind a schema, those that others need first. Throws `bad-schema` (a circle, too many, an unknown one) or
 * what the registry threw.
 */
export async function dependenciesOf(
  schema: Referring,
  registry: Pick<SchemaRegistry, 'name' | 'version'>
): Promise<readonly Dependency[]> {
  if (!schema.references || schema.references.length === 0) return []
  if (!registry.version)
    throw new StreamError(
      'bad-schema',
      `the schema has references, and ${registry.name} has no versions to follow them`
    )
  const fetched = new Map<string, RegisteredSchema>()
  let open: readonly SchemaReference[] = schema.references
  while (open.length > 0) {
    const level = await Promise.all(open.map(({ subject, version }) => registry.version!(subject, version)))
    for (const [index, reference] of open.entries()) fetched.set(keyOf(reference), level[index]!)
    if (fetched.size > dependencyLimit) throw tooMany()
    open = level.flatMap(({ references = [] }) => references).filter(reference => !fetched.has(keyOf(reference)))
  }
  return inOrder(schema, reference => fetched.get(keyOf(reference)))
}

/** The same with all schemas at hand. */
export function inOrder(
  schema: Referring,
  find: (reference: SchemaReference) => RegisteredSchema | undefined
): readonly Dependency[] {
  const done = new Map<string, Dependency>()
  const open = new Set<string>()
  const visit = ({ references = [] }: Referring): void => {
    for (const reference of references) {
      const key = `${keyOf(reference)}\n${reference.name}`
      if (done.has(key)) continue
      if (open.has(key))
        throw new StreamError('bad-schema', `the references of a schema go round in a circle at '${reference.name}'`)
      const found = find(reference)
      if (!found)
        throw new StreamError(
          'bad-schema',
          `reference '${reference.name}' points to version ${reference.version} of subject '${reference.subject}', which is not there`
        )
      open.add(key)
      visit(found)
      open.delete(key)
      done.set(key, { name: reference.name, schema: found.schema })
      if (done.size > dependencyLimit) throw tooMany()
    }
  }
  visit(schema)
  return [...done.values()]
}

function keyOf({ subject, version }: SchemaReference): string {
  return `${version} ${subject}`
}

function tooMany(): StreamError {
  return new StreamError('bad-schema', `more than ${dependencyLimit} schemas stand behind one schema`)
}
