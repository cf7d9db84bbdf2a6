import { embeddedRegistry } from './embedded.ts'
import type { ManagedRegistry } from './managed.ts'
import { emptyState, type RegistryState } from './state.ts'

/**
 * A schema registry that lives as long as the process: for tests and first steps. Several clients of one process may
 * share it.
 *
 * @example
 * const client = await connect({ brokers: { default: 'memory:' }, registry: memoryRegistry() })
 */
export function memoryRegistry(): ManagedRegistry {
  let state: RegistryState = emptyState
  return embeddedRegistry({
    name: 'memory registry',
    read: () => Promise.resolve(state),
    async update(change) {
      const { subject, compatibility, result } = change(state)
      state = {
        compatibility: compatibility ?? state.compatibility,
        subjects: subject ? new Map(state.subjects).set(subject.subject, subject) : state.subjects
      }
      return result
    }
  })
}
