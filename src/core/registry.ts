/** A schema as registries store it. */
export interface RegisteredSchema {
  readonly id: number
  readonly type: 'AVRO' | 'JSON' | 'PROTOBUF'
  /** The schema's own text. */
  readonly schema: string
}

/**
 * A schema registry in the model that Confluent made common: subjects hold versions of a schema, each schema has one id.
 * Errors: `bad-schema` (unknown id or subject, incompatible), `connection` (cannot be reached, retryable).
 */
export interface SchemaRegistry {
  readonly name: string
  /** Registers under the compatibility rule of the subject; the same text twice gives the same id. */
  register(subject: string, schema: Omit<RegisteredSchema, 'id'>): Promise<RegisteredSchema>
  byId(id: number): Promise<RegisteredSchema>
  latest(subject: string): Promise<RegisteredSchema | undefined>
  /** Empty when the schema may be registered, else a sentence per broken rule: the field, the rule, the fix. */
  check(subject: string, schema: Omit<RegisteredSchema, 'id'>): Promise<readonly string[]>
  close?(): Promise<void>
}
