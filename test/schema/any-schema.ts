import fc from 'fast-check'

/**
 * Avro schemas of every kind, small. Names come from the place in the schema, so that two of them often share names and are
 * now and then compatible.
 */
export const anySchema = (depth: number): fc.Arbitrary<unknown> => schema(depth, '')

const primitive = fc.constantFrom<unknown>('null', 'int', 'long', 'double', 'bytes', 'string')
const defaults: Record<string, unknown> = {
  null: null,
  boolean: true,
  int: 1,
  long: 1,
  float: 1,
  double: 1,
  bytes: '',
  string: ''
}
const symbols = fc.uniqueArray(fc.constantFrom('A', 'B', 'C'), { minLength: 1 })
const schema = (depth: number, path: string): fc.Arbitrary<unknown> => {
  const named = fc.oneof(
    fc.tuple(symbols, fc.boolean()).map(([list, fallback]) => ({
      type: 'enum',
      name: `E${path}`,
      symbols: list,
      ...(fallback && { default: list[0] })
    })),
    fc
      .tuple(fc.constantFrom(1, 2), fc.boolean())
      .map(([size, other]) => ({ type: 'fixed', name: `F${path}${other ? 'x' : ''}`, size }))
  )
  if (depth === 0) return fc.oneof(primitive, named)
  const fields = ['a', 'b', 'c'].map(name =>
    fc.option(
      fc.tuple(schema(depth - 1, `${path}${name}`), fc.boolean()).map(([type, hasDefault]) => {
        const value = typeof type === 'string' ? defaults[type] : undefined
        return { name, type, ...(hasDefault && value !== undefined && { default: value }) }
      })
    )
  )
  const union = fc
    .uniqueArray(fc.oneof(primitive, fc.constantFrom('array', 'map', 'record')), { minLength: 1, maxLength: 3 })
    .chain(kinds => fc.tuple(...kinds.map(kind => branch(kind, depth, path))))
  const branch = (kind: unknown, level: number, place: string): fc.Arbitrary<unknown> => {
    if (kind === 'array') return schema(level - 1, `${place}i`).map(items => ({ type: 'array', items }))
    if (kind === 'map') return schema(level - 1, `${place}v`).map(values => ({ type: 'map', values }))
    if (kind === 'record')
      return fc
        .tuple(...fields)
        .map(list => ({ type: 'record', name: `R${place}`, fields: list.filter(item => item !== null) }))
    return fc.constant(kind)
  }
  return fc.oneof(
    primitive,
    named,
    branch('array', depth, path),
    branch('map', depth, path),
    branch('record', depth, path),
    union
  )
}

/** A schema and one that was made from it by changes which mostly keep it readable. */
export const schemaAndNext = (depth: number): fc.Arbitrary<[unknown, unknown]> =>
  fc.tuple(anySchema(depth), fc.array(fc.nat(5), { minLength: 20, maxLength: 20 })).map(([before, choices]) => {
    let position = 0
    return [before, change(before, () => choices[position++ % choices.length]!)]
  })

function change(before: unknown, choose: () => number): unknown {
  if (Array.isArray(before)) return choose() === 0 && !before.includes('boolean') ? [...before, 'boolean'] : before
  if (typeof before === 'string') {
    const choice = choose()
    if (choice === 0 && before !== 'null') return ['null', before]
    return choice === 1 ? (promoted[before] ?? before) : before
  }
  const definition = before as Record<string, unknown>
  switch (definition['type']) {
    case 'array':
      return { ...definition, items: change(definition['items'], choose) }
    case 'map':
      return { ...definition, values: change(definition['values'], choose) }
    case 'enum':
      return { ...definition, symbols: [...(definition['symbols'] as string[]), 'Z'] }
    case 'record': {
      const fields = (definition['fields'] as { name: string; type: unknown }[])
        .filter(() => choose() !== 0)
        .map(({ name, type }) => ({ name, type: change(type, choose) }))
      return { ...definition, fields: [{ name: 'z', type: 'int', default: 1 }, ...fields] }
    }
  }
  return before
}
const promoted: Record<string, string> = { int: 'long', long: 'double', string: 'bytes', bytes: 'string' }

/** Is each union one of null and another? Of others, the value alone does not tell another client which branch it was. */
export function isPlain(schema: unknown): boolean {
  if (Array.isArray(schema)) return schema.length <= 2 && schema.includes('null') && schema.every(isPlain)
  if (typeof schema !== 'object' || schema === null) return true
  const { items, values, fields } = schema as { items?: unknown; values?: unknown; fields?: { type: unknown }[] }
  return isPlain(items) && isPlain(values) && (fields ?? []).every(({ type }) => isPlain(type))
}
