import { view } from '../core/codec.ts'

/** Bytes of a value, one per character: no more memory than they take, and nothing that a collection would have to look at. */
class Kept {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/**
 * A value as it is kept between records. Bytes out of a record are a view of all that was fetched with it: they would keep a megabyte
 * for a hundred bytes of theirs.
 */
export function keep(value: unknown): unknown {
  const isPart = value instanceof Uint8Array && value.buffer.byteLength > 2 * value.byteLength
  return isPart ? new Kept(view(value).toString('latin1')) : value
}

/** The value again: bytes are a copy. */
export function given(value: unknown): unknown {
  return value instanceof Kept ? Buffer.from(value.text, 'latin1') : value
}
