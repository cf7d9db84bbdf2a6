import type { Connection } from './connection.ts'

// A request of at most 512 KiB; ids of the service have some 200 bytes.
const mostIds = 2_000
const mostBytes = 400_000
/** Ids that are known to be acknowledged are remembered for a while: a second time is no failure. */
const remembered = 20_000

/** Acknowledgements and deadlines of one subscription. */
export class Acknowledgements {
  readonly #connection: Connection
  readonly #subscription: string
  /** In the order of their acknowledgement. */
  readonly #confirmed = new Set<string>()

  constructor(connection: Connection, subscription: string) {
    this.#connection = connection
    this.#subscription = subscription
  }

  /** Gives the ids that are not confirmed. Without exactly-once delivery the service confirms all. */
  async acknowledge(ids: readonly string[]): Promise<readonly string[]> {
    const open = ids.filter(id => !this.#confirmed.has(id))
    const failed = await this.#each(open, ackIds =>
      this.#connection.subscriber(api => api.acknowledge, { subscription: this.#subscription, ackIds })
    )
    for (const id of open) if (!failed.has(id)) this.#confirmed.add(id)
    for (const id of this.#confirmed) {
      if (this.#confirmed.size <= remembered) break
      this.#confirmed.delete(id)
    }
    return [...failed]
  }

  /** 0: deliver again at once. Ids that are not good any more are no error: their records come again anyway. */
  async modify(ids: readonly string[], seconds: number): Promise<void> {
    await this.#each(ids, ackIds =>
      this.#connection.subscriber(api => api.modifyAckDeadline, {
        subscription: this.#subscription,
        ackIds,
        ackDeadlineSeconds: seconds
      })
    )
  }

  /** Requests of a bounded size, one after the other; the ids that the service has refused. */
  async #each(ids: readonly string[], call: (ids: readonly string[]) => Promise<unknown>): Promise<Set<string>> {
    const failed = new Set<string>()
    for (const part of parts(ids)) {
      try {
        await call(part)
      } catch (error) {
        const refused = refusedIds(error)
        if (!refused) throw error
        for (const id of part) if (refused.has(id)) failed.add(id)
      }
    }
    return failed
  }
}

function* parts(ids: readonly string[]): Generator<readonly string[]> {
  let part: string[] = []
  let bytes = 0
  for (const id of ids) {
    if (part.length === mostIds || bytes + id.length > mostBytes) {
      yield part
      part = []
      bytes = 0
    }
    part.push(id)
    bytes += id.length + 4
  }
  if (part.length > 0) yield part
}

/** Exactly-once delivery answers per id, in the details of an error: the others are done. */
function refusedIds(error: unknown): ReadonlySet<string> | undefined {
  const { errorInfoMetadata } = (error ?? {}) as { errorInfoMetadata?: unknown }
  if (typeof errorInfoMetadata !== 'object' || errorInfoMetadata === null) return undefined
  const ids = Object.entries(errorInfoMetadata).flatMap(([id, said]) =>
    /^(PERMANENT|TRANSIENT)_FAILURE/.test(String(said)) ? [id] : []
  )
  return ids.length > 0 ? new Set(ids) : undefined
}
