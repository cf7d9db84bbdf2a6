import type { AvroType } from './model.ts'

/**
 * What is wrong with the JSON default of a field, or nothing. Bytes and fixed are strings of code points 0 to 255, and
 * the default of a union fits its first branch (Avro 1.11, "Complex types / Records").
 */
export function checkDefault(type: AvroType, value: unknown): string | undefined {
  switch (type.kind) {
    case 'null':
      return value === null ? undefined : 'expected null'
    case 'boolean':
      return expect(typeof value === 'boolean', 'true or false')
    case 'int':
      return expect(Number.isInteger(value) && value === ((value as number) | 0), 'a whole number of 32 bits')
    case 'long':
      return expect(Number.isSafeInteger(value), 'a whole number that JSON holds exactly (up to 2^53 - 1)')
    case 'float':
    case 'double':
      return expect(typeof value === 'number', 'a number')
    case 'string':
      return expect(typeof value === 'string', 'a string')
    case 'bytes':
      return expect(isByteString(value), 'a string of code points up to 255, one per byte')
    case 'fixed':
      return expect(isByteString(value) && value.length === type.size, `a string of ${type.size} code points up to 255`)
    case 'enum':
      return expect(type.symbols.includes(value as string), 'one of its symbols')
    case 'array':
      if (!Array.isArray(value)) return 'expected a list'
      return first(value.map(item => checkDefault(type.items, item)))
    case 'map':
      if (!isObject(value)) return 'expected an object'
      return first(Object.values(value).map(item => checkDefault(type.values, item)))
    case 'union': {
      const problem = checkDefault(type.branches[0]!, value)
      const other = problem && type.branches.some(branch => checkDefault(branch, value) === undefined)
      return other ? 'it fits another branch: put that branch first in the union' : problem
    }
    case 'record':
      if (!isObject(value)) return 'expected an object'
      return first(
        type.fields.map(field => {
          const given = value[field.name]
          if (given === undefined) return field.default === undefined ? `field '${field.name}' is missing` : undefined
          const problem = checkDefault(field.type, given)
          return problem && `field '${field.name}': ${problem}`
        })
      )
  }
}

function expect(fits: boolean, what: string): string | undefined {
  return fits ? undefined : `expected ${what}`
}

function first(problems: readonly (string | undefined)[]): string | undefined {
  return problems.find(problem => problem !== undefined)
}

function isByteString(value: unknown): value is string {
  return typeof value === 'string' && Buffer.from(value, 'latin1').toString('latin1') === value
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
