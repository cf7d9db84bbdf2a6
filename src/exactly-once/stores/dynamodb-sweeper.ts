import type { DynamodbConnection, Place } from './dynamodb-connection.ts'

/** Between two tries, ms. */
const pause = 5_000
/** One `BatchWriteItem`: fewer are worth no request of their own. */
const worthwhile = 25

/**
 * Deletes in the background what no commit names any more. What is left when it ends, or its process, is found by the next owner of
 * the task.
 */
export class Sweeper {
  readonly #connection: DynamodbConnection
  #places: Place[] = []
  #sweeping: Promise<void> | undefined
  #closed = false

  constructor(connection: DynamodbConnection) {
    this.#connection = connection
  }

  /** Only what this owner's own commits have superseded, or what was written under an older epoch: else it may be needed. */
  add(places: readonly Place[], atOnce = false): void {
    for (const place of places) this.#places.push(place)
    if (this.#places.length >= (atOnce ? 1 : worthwhile)) this.#sweep()
  }

  /** Resolves when nothing of it is under way. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#sweeping
  }

  #sweep(): void {
    if (this.#sweeping || this.#closed) return
    this.#sweeping = this.#run().finally(() => {
      this.#sweeping = undefined
      if (this.#places.length >= worthwhile) this.#later()
    })
  }

  async #run(): Promise<void> {
    while (this.#places.length > 0 && !this.#closed) {
      const some = this.#places.splice(0, worthwhile)
      try {
        await this.#connection.write(
          'deleting what is not needed any more',
          some.map(drop => ({ drop }))
        )
      } catch {
        // It costs nothing but its place meanwhile.
        this.#places.push(...some)
        return
      }
    }
  }

  #later(): void {
    this.#connection.environment.timer(pause, () => this.#sweep(), true)
  }
}
