/**
 * Where the sensitive parts of a value are, whatever its schema is written in: nothing of them may be in a message that is stored
 * or sent. A graph, with cycles where the schema has them.
 */
export interface Marks {
  /** The value here is sensitive, with all that is in it. */
  here: boolean
  /** Of an object, by name. */
  readonly fields: Map<string, Marks>
  /** Of each item of a list, and of each value of an object that `fields` does not name. */
  each: Marks | undefined
  /** Other ways to look at the same value: the branches of a union. */
  readonly others: Marks[]
}

export function unmarked(): Marks {
  return { here: false, fields: new Map(), each: undefined, others: [] }
}

const tags: ReadonlySet<string> = new Set(['PII', 'PRIVATE', 'SENSITIVE'])

/**
 * The marks that are known, as properties of a field (Avro) or of a schema (JSON Schema): `sensitive`, `x-sensitive`, and the tags
 * of Confluent's rules, `confluent:tags`.
 */
export function isMarked(definition: Readonly<Record<string, unknown>>): boolean {
  if (definition['sensitive'] === true || definition['x-sensitive'] === true) return true
  const given = definition['confluent:tags']
  return Array.isArray(given) && given.some(tag => typeof tag === 'string' && tags.has(tag.toUpperCase()))
}

/** Nothing is marked: then nobody needs to look. */
export function isPlain(marks: Marks, seen: Set<Marks> = new Set()): boolean {
  if (marks.here) return false
  if (seen.has(marks)) return true
  seen.add(marks)
  return [...marks.fields.values(), ...marks.others, ...(marks.each ? [marks.each] : [])].every(inner =>
    isPlain(inner, seen)
  )
}

/** So many texts of one value are looked for, and no more. */
const mostTexts = 1_000
const deepest = 100

/** All that is sensitive in a value, in the forms in which a message may show it. */
export function secretsIn(value: unknown, marks: Marks): readonly string[] {
  const found = new Set<string>()
  const visit = (inner: unknown, at: Marks, depth: number): void => {
    if (depth > deepest || found.size > mostTexts) return
    if (at.here) return collect(inner, depth)
    for (const other of at.others) visit(inner, other, depth + 1)
    if (typeof inner !== 'object' || inner === null) return
    for (const [name, child] of Object.entries(inner)) {
      const next = (Array.isArray(inner) ? undefined : at.fields.get(name)) ?? at.each
      if (next) visit(child, next, depth + 1)
    }
  }
  const collect = (inner: unknown, depth: number): void => {
    if (inner === null || inner === undefined || depth > deepest || found.size > mostTexts) return
    if (typeof inner !== 'object') {
      const text = String(inner)
      // As it stands in JSON, too.
      for (const form of [text, JSON.stringify(text).slice(1, -1)]) if (form !== '') found.add(form)
    } else if (inner instanceof Date) {
      for (const form of Number.isNaN(inner.getTime()) ? [] : [inner.toISOString(), String(inner), inner.getTime()])
        found.add(String(form))
    } else if (inner instanceof Uint8Array) {
      const bytes = Buffer.from(inner.buffer, inner.byteOffset, inner.byteLength)
      for (const form of ['hex', 'base64', 'utf8'] as const) if (bytes.length > 0) found.add(bytes.toString(form))
    } else
      for (const [name, child] of Object.entries(inner)) {
        if (!Array.isArray(inner)) found.add(name)
        collect(child, depth + 1)
      }
  }
  visit(value, marks, 0)
  return [...found]
}

/** The part of a path into a value that may be shown: names inside of what is sensitive (keys of a map) are values too. */
export function shownPath(path: readonly string[], marks: Marks): readonly string[] {
  let at: readonly Marks[] = [marks]
  for (let index = 0; index < path.length; index++) {
    const all = at.flatMap(each => [each, ...each.others])
    if (all.some(({ here }) => here)) return path.slice(0, index)
    at = all.flatMap(each => each.fields.get(path[index]!) ?? each.each ?? [])
  }
  return path
}
