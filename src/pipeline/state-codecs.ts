import type { SchemaRegistry } from '../core/registry.ts'
import { formOf, payloadOf, type KeyedDefinition, type StateRow } from '../state/index.ts'
import type { ProcessorStage, Stage } from './definitions.ts'

/**
 * Binds the codecs of keyed state to the registry, as those of topics are: the schema of the state `total` is that of the
 * values of a topic named `<pipeline>.<stage>.total`.
 */
export async function bindState(
  stage: ProcessorStage,
  pipeline: string,
  registry: SchemaRegistry | undefined
): Promise<ProcessorStage> {
  const state: Record<string, KeyedDefinition> = {}
  for (const [name, definition] of Object.entries(stage.state)) {
    const { codec } = definition
    const topic = `${pipeline}.${stage.name}.${name}`
    state[name] = codec.bind
      ? { ...definition, codec: await codec.bind({ topic, part: 'value', registry }) }
      : definition
  }
  return { ...stage, state }
}

/** Fetches what the codecs of the state need for the rows, before the rows are decoded; most need nothing. */
export function prepareRows(stage: Stage, rows: readonly StateRow[]): Promise<void> | undefined {
  const codecs = stage.kind === 'processor' ? Object.entries(stage.state) : []
  const preparing = codecs.filter(([, { codec }]) => codec.prepare)
  if (preparing.length === 0) return undefined
  return prepared(preparing, rows)
}

async function prepared(
  codecs: readonly (readonly [string, KeyedDefinition])[],
  rows: readonly StateRow[]
): Promise<void> {
  for (const [name, { codec }] of codecs) {
    const payloads = rows.flatMap(({ slot, value }) => {
      const [state, form] = formOf(slot)
      return state === name && value ? [payloadOf(value, form)] : []
    })
    if (payloads.length > 0) await codec.prepare!(payloads)
  }
}
