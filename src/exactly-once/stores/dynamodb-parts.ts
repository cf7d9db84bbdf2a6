import { StreamError } from '../../core/errors.ts'
import type { Item, Value } from './dynamodb-client.ts'
import type { Place, Write } from './dynamodb-connection.ts'

/** State of one commit, outputs of one commit, a head that is too large for its item, all state up to a commit. */
export type PartKind = 'state' | 'outputs' | 'head' | 'base'

/**
 * Bytes that belong to one commit, cut into items. They are written before the commit, and are nothing until its conditional write
 * names them. Their key tells whose attempt they are of: no two owners write to the same one.
 */
export interface Part {
  readonly kind: PartKind
  /** Of the commit; of a base the last commit in it. */
  readonly number: number
  readonly epoch: number
  /** Tells the bases of one owner for one commit apart. */
  readonly attempt: number
  readonly chunks: number
  readonly bytes: number
}

/** 400 KB is the limit of an item, with its keys and the names of its attributes. */
export const chunkBytes: number = 384 * 1024

/** One of them in text: what a head, or the part after it, names. */
export const pointer = (part: Part): string =>
  [part.number, part.epoch, part.attempt, part.chunks, part.bytes].join('.')

export function partOf(kind: PartKind, text: string | undefined): Part | undefined {
  if (text === undefined) return undefined
  const [number, epoch, attempt, chunks, bytes] = text.split('.').map(Number)
  if (![number, epoch, attempt, chunks, bytes].every(Number.isSafeInteger))
    throw new StreamError('corrupt', `a commit names '${text}', which is no part of one`)
  return { kind, number: number!, epoch: epoch!, attempt: attempt!, chunks: chunks!, bytes: bytes! }
}

const digits = (value: number, length: number): string => String(value).padStart(length, '0')

/** Sort keys begin with it; they go up with the number of the commit. */
const prefixOf = ({ kind, number, epoch, attempt }: Omit<Part, 'chunks' | 'bytes'>): string =>
  `${kind}/${digits(number, 16)}/${digits(epoch, 10)}/${digits(attempt, 6)}/`

/** From the first to the last key of a kind, or of one part. */
export const rangeOf = (kind: PartKind): readonly [string, string] => [`${kind}/`, `${kind}/~`]
export const chunksOf = (part: Part): readonly [string, string] => [prefixOf(part), `${prefixOf(part)}~`]
/** Up to the last key of this part. */
export const upTo = (part: Part): readonly [string, string] => [`${part.kind}/`, `${prefixOf(part)}~`]

export const placeOf = (pk: string, part: Omit<Part, 'chunks' | 'bytes'>, chunk: number): Place => ({
  pk,
  sk: prefixOf(part) + digits(chunk, 6)
})

export function placesOf(pk: string, part: Part): Place[] {
  return Array.from({ length: part.chunks }, (_, chunk) => placeOf(pk, part, chunk))
}

/** Whose chunk is it? `undefined` for what is none. */
export function readSortKey(sk: string): (Omit<Part, 'chunks' | 'bytes'> & { readonly chunk: number }) | undefined {
  const parts = /^(state|outputs|head|base)\/(\d+)\/(\d+)\/(\d+)\/(\d+)$/.exec(sk)
  if (!parts) return undefined
  const [number, epoch, attempt, chunk] = parts.slice(2).map(Number)
  return { kind: parts[1] as PartKind, number: number!, epoch: epoch!, attempt: attempt!, chunk: chunk! }
}

/** Is this a chunk of it? */
export const belongs = (found: Omit<Part, 'chunks' | 'bytes'>, part: Part): boolean =>
  prefixOf(found) === prefixOf(part)

/**
 * The items of a part.
 *
 * @param before the part of that kind before it, as a pointer: from the last one, all can be found
 */
export function chunksToWrite(pk: string, part: Part, bytes: Buffer, before: string | undefined): Write[] {
  return placesOf(pk, part).map((place, chunk) => ({
    put: chunkItem(place, bytes.subarray(chunk * chunkBytes, (chunk + 1) * chunkBytes), before)
  }))
}

export function chunkItem({ pk, sk }: Place, data: Uint8Array, before: string | undefined): Item {
  return {
    pk: { S: pk },
    sk: { S: sk },
    data: { B: data },
    ...(before !== undefined && { before: { S: before } })
  }
}

export const textOf = (value: Value | undefined): string | undefined => value?.S
export const numberOf = (value: Value | undefined): number => Number(value?.N ?? 0)
