import type { StateRow } from '../../state/index.ts'
import type { DynamodbConnection, Write } from './dynamodb-connection.ts'
import { chunkBytes, chunkItem, placeOf, type Part } from './dynamodb-parts.ts'
import { applyPart, readBase, readChain } from './dynamodb-recovery.ts'
import { encodeRows } from './dynamodb-rows.ts'

/** Chunks that are collected before they are written: what is held in memory beside the rows. */
const writtenTogether = 16

/**
 * Makes a new base of the old one and the commits since: reads what is written and never changed, writes beside it. It counts from
 * the commit on that names it.
 *
 * @param stopped is asked before each write
 * @returns `undefined` when it was stopped; what was written then is garbage
 */
export async function foldState(
  connection: DynamodbConnection,
  pk: string,
  { base, last, epoch, attempt }: { base: Part | undefined; last: Part; epoch: number; attempt: number },
  stopped: () => boolean
): Promise<Part | undefined> {
  const rows = new Map<string, StateRow>()
  const [, chain] = await Promise.all([
    readBase(connection, pk, base, rows),
    readChain(connection, pk, 'state', last, base?.number ?? 0, false)
  ])
  for (const part of chain.parts) applyPart(part, rows)
  const made = { kind: 'base' as const, number: last.number, epoch, attempt }
  let writes: Write[] = []
  let chunks = 0
  let bytes = 0
  for (const chunk of cut(encodeRows(rows.values()))) {
    writes.push({ put: chunkItem(placeOf(pk, made, chunks++), chunk, undefined) })
    bytes += chunk.length
    if (writes.length < writtenTogether) continue
    if (stopped()) return undefined
    await connection.write('folding state', writes)
    writes = []
  }
  if (stopped()) return undefined
  await connection.write('folding state', writes)
  return { ...made, chunks, bytes }
}

/** Pieces of any size as chunks of one size, but the last. */
function* cut(pieces: Iterable<Buffer>): Generator<Buffer> {
  let held: Buffer[] = []
  let size = 0
  for (let piece of pieces) {
    while (size + piece.length >= chunkBytes) {
      const room = chunkBytes - size
      yield Buffer.concat([...held, piece.subarray(0, room)])
      piece = piece.subarray(room)
      held = []
      size = 0
    }
    if (piece.length > 0) held.push(piece)
    size += piece.length
  }
  if (size > 0) yield Buffer.concat(held)
}
