import { isMarked, unmarked, type Marks } from '../sensitive.ts'

type Definition = Readonly<Record<string, unknown>>

/**
 * Where the parts are that a JSON Schema marks; besides the marks of all formats, `writeOnly` and `format: 'password'`. References
 * inside of the schema are followed.
 */
export function marksOf(schema: unknown): Marks {
  const known = new Map<unknown, Marks>()
  const visit = (given: unknown): Marks => {
    const found = known.get(given)
    if (found) return found
    const marks = unmarked()
    if (typeof given !== 'object' || given === null || Array.isArray(given)) return marks
    known.set(given, marks)
    const definition = given as Definition
    if (isMarked(definition) || definition['writeOnly'] === true || definition['format'] === 'password') {
      marks.here = true
      return marks
    }
    for (const [name, inner] of entriesOf(definition['properties'])) marks.fields.set(name, visit(inner))
    for (const keyword of ['additionalProperties', 'items', 'unevaluatedProperties', 'contains'])
      if (definition[keyword] !== undefined && !Array.isArray(definition[keyword]))
        addEach(marks, visit(definition[keyword]))
    for (const keyword of ['patternProperties'])
      for (const [, inner] of entriesOf(definition[keyword])) addEach(marks, visit(inner))
    for (const list of [definition['items'], definition['prefixItems']])
      if (Array.isArray(list)) for (const inner of list) addEach(marks, visit(inner))
    for (const keyword of ['allOf', 'anyOf', 'oneOf'])
      if (Array.isArray(definition[keyword]))
        for (const inner of definition[keyword] as unknown[]) marks.others.push(visit(inner))
    for (const keyword of ['if', 'then', 'else', 'not'])
      if (definition[keyword] !== undefined) marks.others.push(visit(definition[keyword]))
    const target = typeof definition['$ref'] === 'string' ? pointed(schema, definition['$ref']) : undefined
    if (target !== undefined) marks.others.push(visit(target))
    return marks
  }
  return visit(schema)
}

function addEach(marks: Marks, inner: Marks): void {
  if (marks.each === undefined) marks.each = { ...unmarked(), others: [inner] }
  else marks.each.others.push(inner)
}

function entriesOf(value: unknown): readonly (readonly [string, unknown])[] {
  return typeof value === 'object' && value !== null ? Object.entries(value) : []
}

/** `#/$defs/Address`. */
function pointed(root: unknown, reference: string): unknown {
  if (!reference.startsWith('#')) return undefined
  let at = root
  for (const step of reference.split('/').slice(1)) {
    const name = decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined
    at = (at as Definition)[name]
  }
  return at
}
