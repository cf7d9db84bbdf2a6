import { open, type FileHandle } from 'node:fs/promises'
import type { Environment } from '../../core/environment.ts'
import { messageOf, StreamError } from '../../core/errors.ts'

/**
 * Brings what was committed to the disk, beside the event loop: SQLite itself would keep the thread until the disk is done.
 * Several that wait share one sync. Of a database with a write-ahead log and `synchronous=NORMAL`: there a commit is written,
 * in order and with checksums, and lasts from the next sync of the log on.
 */
export class WalSync {
  readonly #file: string
  readonly #environment: Environment
  #handle: FileHandle | undefined
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined
  #failure: StreamError | undefined
  readonly #onSize: (bytes: number) => void

  /**
   * @param database path of the database; `:memory:` has no log
   * @param onSize hears how large the log is
   */
  constructor(database: string, environment: Environment, onSize: (bytes: number) => void) {
    this.#file = `${database}-wal`
    this.#environment = environment
    this.#onSize = onSize
  }

  /**
   * Resolves when all that was committed before the call lasts. Rejects with `internal`, and from then on always: after a failed
   * sync the system may have let go of what it could not write, and another sync would find nothing to do.
   */
  sync(): Promise<void> {
    if (this.#file === ':memory:-wal') return Promise.resolve()
    if (!this.#running) return this.#begin()
    // The one that is under way may have begun before our commit.
    this.#next ??= this.#running.then(
      () => this.#begin(),
      () => this.#begin()
    )
    return this.#next
  }

  async close(): Promise<void> {
    await this.#running?.catch(() => {})
    await this.#handle?.close()
    this.#handle = undefined
    // The system has let go of it by then.
    await this.#environment.turn()
  }

  #begin(): Promise<void> {
    this.#next = undefined
    const running = this.#sync().finally(() => (this.#running = undefined))
    this.#running = running
    running.then(
      () => this.#look(),
      () => {}
    )
    return running
  }

  /** Behind the sync: no commit waits for it. */
  #look(): void {
    this.#handle?.stat().then(
      ({ size }) => this.#onSize(size),
      () => {}
    )
  }

  async #sync(): Promise<void> {
    if (this.#failure) throw this.#failure
    try {
      this.#handle ??= await open(this.#file, 'r+')
      await this.#handle.datasync()
    } catch (error) {
      this.#failure = new StreamError(
        'internal',
        `the disk did not take what was written to ${this.#file} (${messageOf(error)}): mend the disk and restart; what was not acknowledged is done again`,
        { cause: error }
      )
      throw this.#failure
    }
  }
}
