import { view } from '../../core/codec.ts'
import { StreamError } from '../../core/errors.ts'
import type { StateRow } from '../../state/index.ts'

const version = 1
const heading = Buffer.from([version])

/**
 * Rows of state as a stream of bytes, in pieces of no particular size. Little endian: version u8, then per row slot as u16 length +
 * UTF-8, key as u32 length + one byte per character, value as i32 length (-1: there is none any more) + bytes.
 */
export function* encodeRows(rows: Iterable<StateRow>): Generator<Buffer> {
  yield heading
  for (const { slot, key, value } of rows) {
    const name = Buffer.from(slot, 'utf8')
    const head = Buffer.allocUnsafe(10 + name.length + key.length)
    let at = head.writeUInt16LE(name.length, 0)
    at += name.copy(head, at)
    at = head.writeUInt32LE(key.length, at)
    at += head.write(key, at, 'latin1')
    head.writeInt32LE(value === null ? -1 : value.byteLength, at)
    yield head
    if (value !== null) yield view(value)
  }
}

/** Takes the stream in pieces of any size, and gives the rows that are complete. */
export class RowDecoder {
  #rest: Buffer = Buffer.alloc(0)
  #started = false

  /** Throws `corrupt` when it ended inside of a row. */
  end(): void {
    if (this.#rest.length > 0 || !this.#started) throw corrupt('it is cut off')
  }

  *push(piece: Uint8Array): Generator<StateRow> {
    let bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, piece]) : view(piece)
    if (!this.#started && bytes.length > 0) {
      if (bytes[0] !== version) throw corrupt(`version ${bytes[0]}`)
      this.#started = true
      bytes = bytes.subarray(1)
    }
    for (let row = take(bytes); row; row = take(bytes)) {
      yield row.row
      bytes = bytes.subarray(row.size)
    }
    // A copy: a small rest must not hold a large page.
    this.#rest = Buffer.from(bytes)
  }
}

function take(bytes: Buffer): { readonly row: StateRow; readonly size: number } | undefined {
  if (bytes.length < 2) return undefined
  const keyAt = 2 + bytes.readUInt16LE(0)
  if (bytes.length < keyAt + 4) return undefined
  const valueAt = keyAt + 4 + bytes.readUInt32LE(keyAt)
  if (bytes.length < valueAt + 4) return undefined
  const length = bytes.readInt32LE(valueAt)
  const size = valueAt + 4 + Math.max(0, length)
  if (bytes.length < size) return undefined
  return {
    row: {
      slot: bytes.toString('utf8', 2, keyAt),
      key: bytes.toString('latin1', keyAt + 4, valueAt),
      value: length < 0 ? null : bytes.subarray(valueAt + 4, size)
    },
    size
  }
}

function corrupt(what: string): StreamError {
  return new StreamError('corrupt', `stored state does not parse: ${what}`)
}
