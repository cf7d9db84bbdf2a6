import type { Headers } from './record.ts'

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
  /** The fewest bytes that an id takes. */
  readonly headerSize: number
  /** How many it takes, where that is not the same for all. Then `payload` is there too. */
  sizeOf?(id: SchemaId): number
  /** Does the payload begin with an id? */
  isFramed(bytes: Uint8Array): boolean
  /** Of bytes that are framed. */
  idAt(bytes: Uint8Array): SchemaId
  /** Writes the id at the start. */
  write(target: Uint8Array, id: SchemaId): void
  /** What stands behind the header, where that is not simply the rest: some formats compress. Throws `bad-record`. */
  payload?(bytes: Uint8Array): Uint8Array
}

/** How the id of a schema stands beside a payload: in headers of the record. */
export interface SchemaHeaders {
  /** Where it is looked for, as messages say it: `header 'content-type'`. */
  readonly place: string
  /**
   * What each record carries that is written with the schema. Nothing: its id goes in front of the payload.
   *
   * @param named of Protobuf: what says which message of its file the payload is; where it has its place behind the id, it goes there
   */
  write(schema: RegisteredSchema, part: 'key' | 'value', named?: Uint8Array): Headers | undefined
  /**
   * The id that the headers of a record name, `undefined` when they name none. Throws `bad-record`.
   *
   * @param named something may stand behind the id that says which message it is
   */
  read(headers: Headers, part: 'key' | 'value', named?: boolean): SchemaId | undefined
  /** What stands behind that id. Absent where nothing does. */
  named?(headers: Headers, part: 'key' | 'value'): Uint8Array | undefined
  /** Records that name no id anywhere are read as if written with the topic's own schema. Without it they are refused. */
  readonly absent?: 'own'
}

/**
 * A schema registry in the model that Confluent made common: subjects hold versions of a schema, each schema has one id.
 * Errors: `bad-schema` (unknown id or subject, incompatible), `connection` (cannot be reached, retryable), `unauthorized`.
 */
export interface SchemaRegistry {
  readonly name: string
  /** How ids stand before payloads. Default: Confluent's, a zero and four bytes, big endian. */
  readonly framing?: SchemaFraming
  /** Ids stand in headers, where there are headers. What stands in front of a payload is read all the same. */
  readonly headers?: SchemaHeaders
  /**
   * How a Protobuf payload says which message of its file it is. `indexes`, the default: by Confluent's message indexes, behind the id;
   * `position`: by one number, as AWS Glue; `only`: not at all, a file has one message (Pub/Sub); `root`: not at all, the schema says
   * it, and is a set of descriptors (Pulsar).
   */
  readonly messages?: 'indexes' | 'position' | 'only' | 'root'
  /** What a subject is called here when the codec does not say. Default: `<topic>-value`, `<topic>-key`. */
  subject?(context: {
    readonly topic: string
    readonly part: 'key' | 'value'
    readonly record: string | undefined
  }): string
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
