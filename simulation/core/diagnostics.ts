import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Diagnostics } from '../../src/core/diagnostics.ts'
import type { Story } from './story.ts'

const told: readonly (keyof Diagnostics)[] = [
  'task-assigned',
  'task-released',
  'task-fenced',
  'task-restarted',
  'commit',
  'record-parked',
  'record-late',
  'record-duplicate',
  'records-lost',
  'receive-retried'
]

/** Takes what the pipeline tells of itself into the story. Returns how to stop that. */
export function tellDiagnostics(story: Story): () => void {
  const listeners = told.map(event => {
    const listen = (details: unknown): void => story.tell(() => `${event} ${describe(details)}`)
    subscribe(`tidemark:${event}`, listen)
    return () => void unsubscribe(`tidemark:${event}`, listen)
  })
  return () => {
    for (const stop of listeners) stop()
  }
}

function describe(details: unknown): string {
  return Object.entries(details as Record<string, unknown>)
    .map(([name, value]) => `${name}=${value instanceof Error ? value.message : String(value)}`)
    .join(' ')
}
