import type { Position } from '../core/record.ts'
import type { PositionStore } from '../exactly-once/index.ts'
import type { AnyAdapter } from '../spec/index.ts'

/**
 * Where a group stands on a broker without groups: what the client's store has, else what the adapter has found of consumers
 * that were there before us (the checkpoints of Event Hubs).
 */
export async function foundPosition(
  adapter: AnyAdapter,
  store: PositionStore,
  group: string,
  topic: string,
  partition: number
): Promise<Position | undefined> {
  return (
    (await store.positions(group, topic)).get(partition) ?? (await foundByAdapter(adapter, group, topic))[partition]
  )
}

/** By partition; empty where the adapter knows of none. */
export async function foundByAdapter(
  adapter: AnyAdapter,
  group: string,
  topic: string
): Promise<readonly (Position | undefined)[]> {
  const admin = adapter.admin()
  try {
    return await admin.committed(group, topic)
  } catch (error) {
    if (adapter.classify(error).code === 'unsupported') return []
    throw error
  } finally {
    await admin.close()
  }
}
