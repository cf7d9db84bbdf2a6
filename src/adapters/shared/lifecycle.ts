import { StreamError } from '../../core/errors.ts'

interface Closable {
  close(): Promise<void>
}

/**
 * What adapters of a server have in common: opened once, closed once, and everything that they have given out is closed with
 * them. `Opened` is what `open` makes.
 */
export class Lifecycle<Opened extends object> {
  #opened: Opened | undefined
  #closed = false
  readonly #adapter: string
  /** What was given out and is not closed. */
  readonly parts: Set<Closable> = new Set()

  constructor(adapter: string) {
    this.#adapter = adapter
  }

  /** `undefined` before `open`. */
  get opened(): Opened | undefined {
    return this.#opened
  }

  /** Does nothing the second time. Rejects with `closed`. */
  async open(make: () => Promise<Opened>): Promise<void> {
    if (this.#closed) throw this.#closedError()
    this.#opened ??= await make()
  }

  /** Throws `closed`. */
  ready(): Opened {
    if (this.#closed) throw this.#closedError()
    if (!this.#opened) throw new TypeError(`the ${this.#adapter} adapter has not been opened`)
    return this.#opened
  }

  /** Closed with the adapter, and forgotten when it is closed before. */
  track<Part extends Closable>(part: Part): Part {
    const close = part.close.bind(part)
    part.close = () => {
      this.parts.delete(part)
      return close()
    }
    this.parts.add(part)
    return part
  }

  /** A part that opens itself. What does not open is closed, and so is what has opened after the adapter was closed. */
  async opening<Part extends Closable & { open(): Promise<unknown> }>(part: Part): Promise<Part> {
    try {
      await part.open()
      this.ready()
      return this.track(part)
    } catch (error) {
      await part.close()
      throw error
    }
  }

  /** First the parts, then `last`: what they stand on. Does nothing the second time. */
  async close(last: (opened: Opened) => Promise<void>): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await Promise.all(Array.from(this.parts, part => part.close()))
    if (this.#opened) await last(this.#opened)
  }

  #closedError(): StreamError {
    return new StreamError('closed', `the ${this.#adapter} adapter is closed`, { adapter: this.#adapter })
  }
}
