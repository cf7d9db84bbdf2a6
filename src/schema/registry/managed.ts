import type { RegisteredSchema, SchemaRegistry } from '../../core/registry.ts'
import type { Compatibility, SchemaText } from './compatibility.ts'
import type { RegisteredVersion } from './state.ts'

/** A registry, and the management of its rules. */
export interface ManagedRegistry extends SchemaRegistry {
  lookup(subject: string, schema: SchemaText): Promise<RegisteredSchema | undefined>
  version(subject: string, version: number): Promise<RegisteredSchema>
  /** Names of all subjects, in order. */
  subjects(): Promise<readonly string[]>
  /** Oldest first. Throws `bad-schema` for an unknown subject. */
  versions(subject: string): Promise<readonly RegisteredVersion[]>
  /** The rule that holds for the subject, or for all that have none of their own. Default `backward`. */
  compatibility(subject?: string): Promise<Compatibility>
  /**
   * Sets the rule of a subject (which may be new), or of the registry. Versions that are there are not checked again.
   */
  setCompatibility(level: Compatibility, subject?: string): Promise<void>
}
