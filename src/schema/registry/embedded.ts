import { StreamError } from '../../core/errors.ts'
import { canonicalText, parseCompatibility, prepareTypes, type Compatibility } from './compatibility.ts'
import type { ManagedRegistry } from './managed.ts'
import {
  addVersion,
  checkNext,
  findById,
  findLatest,
  findSame,
  findVersion,
  plain,
  resolved,
  type RegistryState,
  type Subject
} from './state.ts'

/** Where the state is kept. */
export interface RegistryStore {
  readonly name: string
  /** The state now. `fresh` false allows one read earlier, which holds fewer schemas and no other ones. */
  read(fresh: boolean): Promise<RegistryState>
  /**
   * Runs `change` on the newest state while no other writer runs, and keeps what it returns: a subject, or the rule of
   * the registry. Durable when it resolves.
   */
  update<Result>(change: (state: RegistryState) => Change<Result>): Promise<Result>
}

export interface Change<Result> {
  readonly subject?: Subject
  readonly compatibility?: Compatibility
  readonly result: Result
}

export function embeddedRegistry(store: RegistryStore): ManagedRegistry {
  return {
    name: store.name,
    async register(subject, schema) {
      checkSubject(subject)
      await prepareTypes(schema)
      // Most calls come from a service that starts again with the schema of yesterday: no lock for those.
      const now = await store.read(true)
      canonicalText(resolved(now, schema), true)
      const known = findSame(now, subject, schema)
      if (known) return known
      return store.update(state => {
        const found = findSame(state, subject, schema)
        if (found) return { result: found }
        const { subject: changed, added } = addVersion(state, subject, schema)
        return { subject: changed, result: plain(added) }
      })
    },
    async byId(id) {
      const found = findById(await store.read(false), id) ?? findById(await store.read(true), id)
      if (found) return found
      throw new StreamError('bad-schema', `${store.name} holds no schema with id ${id}`)
    },
    latest: async subject => findLatest(await store.read(true), subject),
    async lookup(subject, schema) {
      await prepareTypes(schema)
      return findSame(await store.read(true), subject, schema)
    },
    async check(subject, schema) {
      await prepareTypes(schema)
      return checkNext(await store.read(true), subject, schema)
    },
    async version(subject, version) {
      const found =
        findVersion(await store.read(false), subject, version) ?? findVersion(await store.read(true), subject, version)
      if (found) return plain(found)
      throw new StreamError('bad-schema', `${store.name} holds no version ${version} of subject '${subject}'`)
    },
    subjects: async () => [...(await store.read(true)).subjects.keys()].sort(),
    async versions(subject) {
      const found = (await store.read(true)).subjects.get(subject)
      if (found) return found.versions
      throw new StreamError('bad-schema', `${store.name} holds no subject '${subject}'`)
    },
    async compatibility(subject) {
      const state = await store.read(true)
      return (subject === undefined ? undefined : state.subjects.get(subject)?.compatibility) ?? state.compatibility
    },
    async setCompatibility(level, subject) {
      parseCompatibility(level)
      if (subject !== undefined) checkSubject(subject)
      await store.update(state => {
        if (subject === undefined) return { compatibility: level, result: undefined }
        const known = state.subjects.get(subject) ?? { subject, versions: [] }
        return { subject: { ...known, compatibility: level }, result: undefined }
      })
    }
  }
}

function checkSubject(subject: string): void {
  if (typeof subject !== 'string' || subject === '' || subject.length > 250 || !subject.isWellFormed())
    throw new StreamError('bad-config', 'a subject is a text of 1 to 250 characters')
}
