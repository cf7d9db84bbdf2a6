/**
 * A place in a partition, opaque: compared by its adapter only. It always names the record *last processed*, never the
 * next one to read; adapters whose broker counts the other way convert.
 */
export type Position = string

/** Header names to bytes. Names that start with `~` belong to tidemark. Backends with text headers carry UTF-8. */
export type Headers = Readonly<Record<string, Uint8Array>>

export const noHeaders: Headers = Object.freeze({})

/** A record as a driver hands it over: bytes, nothing decoded. */
export interface RawRecord {
  readonly position: Position
  readonly key: Uint8Array | null
  /** `null` is a tombstone. */
  readonly value: Uint8Array | null
  readonly headers: Headers
  /** What tidemark added when it was written; `undefined` when the producer was a foreign one. */
  readonly stamp: Uint8Array | undefined
  /** The broker's time of the record, milliseconds since the epoch; `capabilities.brokerTime` says whose clock. */
  readonly timestamp: number
  /** Of a queue: the same whenever this record is delivered. */
  readonly identity?: string
}

/** A record as a driver takes it. The partition was chosen by the front, because sequences are per partition. */
export interface OutgoingRecord {
  readonly topic: string
  readonly partition: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: Headers
  readonly stamp: Uint8Array | undefined
  /** Event time, milliseconds since the epoch: the broker's create time where it has one. */
  readonly timestamp: number
}

/** Bytes that a record keeps in a buffer: all that it carries plus a fixed share for objects. Law 8 counts in these. */
export function sizeOf({ key, value, headers, stamp }: Pick<RawRecord, 'key' | 'value' | 'headers' | 'stamp'>): number {
  let size = (key?.byteLength ?? 0) + (value?.byteLength ?? 0) + (stamp?.byteLength ?? 0) + 96
  if (headers !== noHeaders) for (const name in headers) size += 32 + name.length + headers[name]!.byteLength
  return size
}

/** A record as a handler sees it. `topic` tells the members of a union apart when a stage reads several. */
export interface StreamRecord<Name extends string = string, Key = unknown, Value = unknown> {
  readonly topic: Name
  readonly partition: number
  readonly position: Position
  readonly key: Key
  readonly value: Value
  readonly headers: Headers
  /** When it happened, milliseconds since the epoch. */
  readonly eventTime: number
  /** Its event time was already behind the watermark of its partition when it arrived. */
  readonly late: boolean
}

/** What a handler returns and a producer sends. */
export interface Entry<Key = unknown, Value = unknown> {
  readonly key: Key
  readonly value: Value
  /** Default: what `eventTime` of the topic says, else the time of the record being processed, else now. */
  readonly eventTime?: number
  readonly headers?: Readonly<Record<string, string | Uint8Array>>
  /** Default: by hash of the key (`core/partitioner.ts`). */
  readonly partition?: number
}

/** The UTF-8 text of a header, or `undefined`. */
export function headerText(headers: Headers, name: string): string | undefined {
  const value = headers[name]
  return value === undefined ? undefined : new TextDecoder().decode(value)
}
