/** Of a schema in a registry: a number, or a text where the registry gives UUIDs and the like. */
export type SchemaId = number | string

/** A schema names types of another one, which lies in the registry too. */
export interface SchemaReference {
  /** How the schema calls it: a full name (Avro), the text of a `$ref` (JSON Schema), the path of an import (Protobuf). */
  readonly name: string
  readonly subject: string
  readonly version: number
}

/** A schema as registries store it. */
export interface RegisteredSchema {
  readonly id: SchemaId
  readonly type: 'AVRO' | 'JSON' | 'PROTOBUF'
  /** The schema's own text. */
  readonly schema: string
  /** Absent when there are none. */
  readonly references?: readonly SchemaReference[]
  /** Its number in the subject it was asked of, where the registry has told. */
  readonly version?: number
}

/** How the id of a schema stands in front of a payload. */
export interface SchemaFraming {
  readonly headerSize: number
  /** Does the payload begin with an id? */
  isFramed(bytes: Uint8Array): boolean
  /** Of bytes that are framed. */
  idAt(bytes: Uint8Array): SchemaId
  /** Writes `headerSize` bytes at the start. */
  write(target: Uint8Array, id: SchemaId): void
  /** What stands behind the header, where that is not simply the rest: some formats compress. Throws `bad-record`. */
  payload?(bytes: Uint8Array): Uint8Array
}

/**
 * A schema registry in the model that Confluent made common: subjects hold versions of a schema, each schema has one id.
 * Errors: `bad-schema` (unknown id or subject, incompatible), `connection` (cannot be reached, retryable), `unauthorized`.
 */
export interface SchemaRegistry {
  readonly name: string
  /** How ids stand before payloads. Default: Confluent's, a zero and four bytes, big endian. */
  readonly framing?: SchemaFraming
  /** Registers under the compatibility rule of the subject; the same text twice gives the same id. */
  register(subject: string, schema: Omit<RegisteredSchema, 'id'>): Promise<RegisteredSchema>
  /** A `connection` that is not retryable means that its records shall be parked, not waited for. */
  byId(id: SchemaId): Promise<RegisteredSchema>
  latest(subject: string): Promise<RegisteredSchema | undefined>
  /** Empty when the schema may be registered, else a sentence per broken rule: the field, the rule, the fix. */
  check(subject: string, schema: Omit<RegisteredSchema, 'id'>): Promise<readonly string[]>
  /** The subject's version of this schema, formatting aside. Never registers. */
  lookup?(subject: string, schema: Omit<RegisteredSchema, 'id'>): Promise<RegisteredSchema | undefined>
  /** What a reference points to. Registries without references have none. */
  version?(subject: string, version: number): Promise<RegisteredSchema>
  close?(): Promise<void>
}
