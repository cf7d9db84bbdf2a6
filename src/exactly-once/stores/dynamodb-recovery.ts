import { view } from '../../core/codec.ts'
import { StreamError } from '../../core/errors.ts'
import type { StateRow } from '../../state/index.ts'
import type { DynamodbConnection, Place } from './dynamodb-connection.ts'
import {
  belongs,
  chunksOf,
  partOf,
  rangeOf,
  readSortKey,
  textOf,
  upTo,
  type Part,
  type PartKind
} from './dynamodb-parts.ts'
import { RowDecoder } from './dynamodb-rows.ts'

/** A part with its bytes. */
export interface FoundPart {
  readonly part: Part
  readonly data: Buffer
}

/** A chunk that no commit needs. */
export interface Leftover extends Place {
  readonly epoch: number
}

export interface Chain {
  /** Oldest first. */
  readonly parts: readonly FoundPart[]
  /** Chunks that no commit has named, or that are not needed any more. */
  readonly rest: readonly Leftover[]
}

/**
 * Walks from the part that the head names back to those of commit `downTo`, which are not needed: each names the one before. What
 * lies beside that way was written by attempts that have not become a commit.
 */
export async function readChain(
  connection: DynamodbConnection,
  pk: string,
  kind: PartKind,
  last: Part | undefined,
  downTo: number,
  everything: boolean
): Promise<Chain> {
  const needed = (part: Part | undefined): Part | undefined => (part && part.number > downTo ? part : undefined)
  const parts: FoundPart[] = []
  const rest: Leftover[] = []
  let wanted = needed(last)
  if (!everything && !wanted) return { parts, rest }
  const range = everything ? rangeOf(kind) : upTo(last!)
  let chunks: Buffer[] = []
  for await (const item of connection.query(`reading ${kind}`, pk, range, { descending: true })) {
    const sk = item['sk']!.S!
    const found = readSortKey(sk)
    if (!found) continue
    if (!wanted || !belongs(found, wanted)) {
      if (!wanted && !everything) break
      rest.push({ pk, sk, epoch: found.epoch })
      continue
    }
    chunks.unshift(view(item['data']!.B!))
    if (found.chunk !== wanted.chunks - chunks.length) throw missing(pk, kind)
    if (chunks.length < wanted.chunks) continue
    parts.unshift({ part: wanted, data: chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks) })
    chunks = []
    wanted = needed(partOf(kind, textOf(item['before'])))
  }
  if (wanted) throw missing(pk, kind)
  return { parts, rest }
}

/**
 * All rows of a base: the state of a task up to its commit.
 *
 * @param rest takes what is beside it, when that is asked for
 */
export async function readBase(
  connection: DynamodbConnection,
  pk: string,
  base: Part | undefined,
  into: Map<string, StateRow>,
  rest?: Leftover[]
): Promise<void> {
  if (!base && !rest) return
  const decoder = new RowDecoder()
  let chunks = 0
  for await (const item of connection.query('reading base', pk, rest ? rangeOf('base') : chunksOf(base!))) {
    const sk = item['sk']!.S!
    const found = readSortKey(sk)
    if (!found) continue
    if (base && belongs(found, base)) {
      chunks++
      for (const row of decoder.push(item['data']!.B!)) apply(row, into)
    } else rest?.push({ pk, sk, epoch: found.epoch })
  }
  if (!base) return
  if (chunks !== base.chunks) throw missing(pk, 'base')
  decoder.end()
}

/** The rows of one commit over those before it. */
export function applyPart({ data }: FoundPart, into: Map<string, StateRow>): void {
  const decoder = new RowDecoder()
  for (const row of decoder.push(data)) apply(row, into)
  decoder.end()
}

function apply(row: StateRow, into: Map<string, StateRow>): void {
  const id = `${row.slot}\0${row.key}`
  if (row.value === null) into.delete(id)
  else into.set(id, row)
}

function missing(pk: string, kind: PartKind): StreamError {
  return new StreamError('corrupt', `${pk}: ${kind} that a commit names is not there`)
}
