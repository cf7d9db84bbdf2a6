import fc from 'fast-check'
import { isDate, isWrapped, logicalOf } from '../../src/schema/avro/logical-type.ts'
import { branchName, type AvroType } from '../../src/schema/avro/model.ts'

/** Values of an Avro schema, as a codec of it takes them. */
export function anyValue(type: AvroType): fc.Arbitrary<unknown> {
  if (isDate(type)) return fc.date({ noInvalidDate: true, min: new Date(0), max: new Date('2100-01-01') })
  if (logicalOf(type)?.name === 'decimal')
    return fc
      .bigInt({ min: -9_999n, max: 9_999n })
      .map(value => (value / 100n).toString() + (value % 100n === 0n ? '.00' : '.50'))
  switch (type.kind) {
    case 'null':
      return fc.constant(null)
    case 'boolean':
      return fc.boolean()
    case 'int':
      return fc.integer()
    case 'long':
      return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
    case 'float':
      return fc.float({ noNaN: true })
    case 'double':
      return fc.double({ noNaN: true })
    case 'string':
      return fc.string({ unit: 'grapheme', maxLength: 12 })
    case 'bytes':
      return fc.uint8Array({ maxLength: 12 }).map(bytes => Buffer.from(bytes))
    case 'fixed':
      return fc.uint8Array({ minLength: type.size, maxLength: type.size }).map(bytes => Buffer.from(bytes))
    case 'enum':
      return fc.constantFrom(...type.symbols)
    case 'array':
      return fc.array(anyValue(type.items), { maxLength: 3 })
    case 'map':
      return fc.dictionary(
        fc.string({ minLength: 1, maxLength: 4 }).filter(key => key !== '__proto__'),
        anyValue(type.values),
        { maxKeys: 3, noNullPrototype: true }
      )
    case 'record':
      return fc.record(Object.fromEntries(type.fields.map(field => [field.name, anyValue(field.type)])), {
        noNullPrototype: true
      })
    case 'union': {
      const wrapped = isWrapped(type.branches, 'bigint')
      return fc.oneof(
        ...type.branches.map(branch =>
          wrapped && branch.kind !== 'null'
            ? anyValue(branch).map(value => ({ [branchName(branch)]: value }))
            : anyValue(branch)
        )
      )
    }
  }
}
