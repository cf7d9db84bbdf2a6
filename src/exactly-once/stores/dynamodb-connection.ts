import { abortedError, sleep, type Environment } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import {
  loadDynamodb,
  type DynamodbClient,
  type DynamodbModule,
  type Item,
  type RequestName
} from './dynamodb-client.ts'
import { translated } from './dynamodb-errors.ts'
import type { ReadDynamodbOptions } from './dynamodb-options.ts'

/** Where an item is. */
export interface Place {
  readonly pk: string
  readonly sk: string
}

export const keyOf = ({ pk, sk }: Place): Item => ({ pk: { S: pk }, sk: { S: sk } })

/** One write of many that need no condition: to put an item, or to delete what is there. */
export type Write = { readonly put: Item } | { readonly drop: Place }

/** Limits of `BatchWriteItem`: 25 items, 16 MB; and how many are under way at the same time. */
const batch = { items: 25, atOnce: 4 } as const
/** The wait after a throttled request: at random up to a limit that doubles from the first to the last, ms. */
const backoff = { first: 25, most: 2_000 } as const

/** The AWS client of one store, for one table. */
export class DynamodbConnection {
  readonly location: string
  readonly environment: Environment
  readonly table: string
  readonly #module: DynamodbModule
  readonly #native: DynamodbClient
  readonly #ownsNative: boolean
  readonly #timeout: number
  readonly #closing = new AbortController()

  private constructor(options: ReadDynamodbOptions, environment: Environment, module: DynamodbModule) {
    this.location = options.location
    this.table = options.table
    this.environment = environment
    this.#module = module
    this.#native = options.client ?? new module.DynamoDBClient(clientConfig(options))
    this.#ownsNative = options.client === undefined
    this.#timeout = options.requestTimeout
  }

  /** Opens no socket yet. Rejects with `peer-missing`. */
  static async load(options: ReadDynamodbOptions, environment: Environment): Promise<DynamodbConnection> {
    return new DynamodbConnection(options, environment, await loadDynamodb())
  }

  /**
   * One request on the table; again, in growing pauses, while it is throttled, which means that nothing has happened. Rejects with
   * a `StreamError` whose cause is what the client threw. After a time-out, or when the connection broke, it may have taken effect.
   *
   * @param doing for messages: `reading the leases`
   */
  async request(doing: string, name: RequestName, input: object): Promise<any> {
    const until = this.environment.monotonic() + this.#timeout
    for (let failures = 0; ; failures++) {
      try {
        return await this.#once(name, input)
      } catch (error) {
        const failure = translated(error, this.location, doing)
        if (failure.code !== 'throttled' || this.environment.monotonic() >= until) throw failure
        await this.pause(failures)
      }
    }
  }

  /** Puts and deletes, each for itself: of those that were not confirmed, some may be done. */
  async write(doing: string, writes: readonly Write[]): Promise<void> {
    const groups: Write[][] = []
    for (let start = 0; start < writes.length; start += batch.items)
      groups.push(writes.slice(start, start + batch.items))
    const worker = async (): Promise<void> => {
      for (let group = groups.shift(); group; group = groups.shift()) await this.#writeGroup(doing, group)
    }
    await Promise.all(Array.from({ length: Math.min(batch.atOnce, groups.length) }, worker))
  }

  /** Items of one partition key in the order of their sort keys, page by page, as of the moment of each page. */
  async *query(
    doing: string,
    pk: string,
    [from, to]: readonly [from: string, to: string],
    { descending = false }: { readonly descending?: boolean } = {}
  ): AsyncGenerator<Item> {
    let start: Item | undefined
    do {
      const page: { readonly Items?: Item[]; readonly LastEvaluatedKey?: Item } = await this.request(doing, 'Query', {
        TableName: this.table,
        ConsistentRead: true,
        KeyConditionExpression: '#pk = :pk AND #sk BETWEEN :from AND :to',
        ExpressionAttributeNames: { '#pk': 'pk', '#sk': 'sk' },
        ExpressionAttributeValues: { ':pk': { S: pk }, ':from': { S: from }, ':to': { S: to } },
        ScanIndexForward: !descending,
        ...(start && { ExclusiveStartKey: start })
      })
      yield* page.Items ?? []
      start = page.LastEvaluatedKey
    } while (start)
  }

  async get(doing: string, place: Place): Promise<Item | undefined> {
    const input = { TableName: this.table, Key: keyOf(place), ConsistentRead: true }
    return (await this.request(doing, 'GetItem', input)).Item
  }

  /** Full jitter: those who were throttled together do not come back together. */
  async pause(failures: number): Promise<void> {
    const most = Math.min(backoff.most, backoff.first * 2 ** failures)
    await sleep(this.environment, most * this.environment.random(), this.#closing.signal).catch(() => {})
    this.#assertOpen()
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return
    this.#closing.abort()
    if (this.#ownsNative) this.#native.destroy()
  }

  async #writeGroup(doing: string, group: readonly Write[]): Promise<void> {
    let open: object[] = group.map(write =>
      'put' in write ? { PutRequest: { Item: write.put } } : { DeleteRequest: { Key: keyOf(write.drop) } }
    )
    const until = this.environment.monotonic() + this.#timeout
    for (let failures = 0; open.length > 0; failures++) {
      const { UnprocessedItems } = await this.request(doing, 'BatchWriteItem', { RequestItems: { [this.table]: open } })
      const left: object[] = UnprocessedItems?.[this.table] ?? []
      if (left.length === 0) return
      // Some went through: then patience begins anew.
      if (left.length === open.length && this.environment.monotonic() >= until)
        throw new StreamError('throttled', `${this.location}: ${doing}: the table takes no more for now`, {
          retryable: true
        })
      open = left
      await this.pause(failures)
    }
  }

  async #once(name: RequestName, input: object): Promise<any> {
    this.#assertOpen()
    const abort = new AbortController()
    const late = new StreamError('timeout', `${this.location}: ${name} took longer than ${this.#timeout} ms`, {
      retryable: true
    })
    const ended = Promise.withResolvers<never>()
    ended.promise.catch(() => {})
    const end = (reason: Error): void => {
      ended.reject(reason)
      abort.abort(reason)
    }
    const timer = this.environment.timer(this.#timeout, () => end(late), true)
    const onClose = (): void => end(abortedError(this.#closing.signal))
    this.#closing.signal.addEventListener('abort', onClose, { once: true })
    try {
      const command = new this.#module[`${name}Command`](input as never)
      return await Promise.race([this.#native.send(command, { abortSignal: abort.signal }), ended.promise])
    } catch (error) {
      this.#assertOpen()
      throw error
    } finally {
      timer.cancel()
      this.#closing.signal.removeEventListener('abort', onClose)
    }
  }

  #assertOpen(): void {
    if (this.#closing.signal.aborted) throw new StreamError('closed', `${this.location}: the store is closed`)
  }
}

function clientConfig({ region, endpoint, credentials }: ReadDynamodbOptions): Record<string, unknown> {
  const local = endpoint?.startsWith('http:') === true
  return {
    ...(region !== undefined ? { region } : local && { region: 'us-east-1' }),
    ...(endpoint !== undefined && { endpoint }),
    ...(credentials !== undefined
      ? { credentials }
      : local && { credentials: { accessKeyId: 'local', secretAccessKey: 'local' } }),
    // What is repeated, and what must be read back first, is decided here.
    maxAttempts: 1
  }
}
