import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { onTestFinished } from 'vitest'
import type { Diagnostics } from '../../src/core/diagnostics.ts'

/** What is told of an event from now on, until the test is over. */
export function heard<Event extends keyof Diagnostics>(event: Event): Diagnostics[Event][] {
  const all: Diagnostics[Event][] = []
  const listener = (message: unknown): void => void all.push(message as Diagnostics[Event])
  subscribe(`tidemark:${event}`, listener)
  onTestFinished(() => void unsubscribe(`tidemark:${event}`, listener))
  return all
}
