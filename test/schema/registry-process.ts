// A process that registers schemas in a folder until it is done or killed: used by file-registry.test.ts.
import { fileRegistry } from '../../src/schema/index.ts'

const [folder, name, count] = process.argv.slice(2) as [string, string, string]
const registry = fileRegistry(folder)
const ids: (number | string)[] = []
for (let round = 0; round < Number(count); round++) {
  // One subject that all processes evolve at the same time, one of its own, and one schema that is the same for all.
  const schema = (field: string): string =>
    JSON.stringify({ type: 'record', name: 'Shared', fields: [{ name: field, type: 'int', default: 0 }] })
  const shared = await registry.register('shared', { type: 'AVRO', schema: schema(`${name}_${round}`) })
  const own = await registry.register(`own-${name}`, { type: 'AVRO', schema: schema(`${name}_own_${round}`) })
  const same = await registry.register('same', { type: 'AVRO', schema: schema('same') })
  ids.push(shared.id, own.id, same.id)
  process.send?.({ round })
}
process.send?.({ ids })
process.disconnect?.()
