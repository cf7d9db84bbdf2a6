import { diagnose } from '../core/diagnostics.ts'
import type { Environment } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'
import { sizeOf, type OutgoingRecord, type Position } from '../core/record.ts'
import type { AnyAdapter, ProducerDriver, SendResult } from '../spec/index.ts'
import { classified, delayOf } from './retry.ts'

type Settle = (error: StreamError | undefined, position: Position | undefined) => void

interface Item {
  readonly record: OutgoingRecord
  readonly size: number
  readonly settle: Settle
}

/** One partition: at most one request in flight, so that a retry keeps the order. */
interface Lane {
  readonly topic: string
  readonly partition: number
  queue: Item[]
  inFlight: boolean
  attempt: number
  /** Since when each attempt has failed, monotonic ms. */
  failingSince?: number | undefined
  /** Of a strict sender: what ended this partition. */
  failure?: StreamError
}

/**
 * Batching, order and retry over a producer driver, written once for producers, relay and parked records. Retries what is
 * retryable for ever; what is not fails that record and goes on with the next of its partition. A strict sender ends the
 * partition there instead: a relay that went on would leave a hole, which readers take for a loss and close behind them.
 */
export class Sender {
  /** Bytes that are queued or in flight. */
  bufferedBytes = 0
  readonly adapter: AnyAdapter
  readonly #environment: Environment
  readonly #strict: boolean
  readonly #maxBatch: number
  /** Topic -> partition -> lane: looked up per record, so no string is made for it. */
  readonly #lanes = new Map<string, (Lane | undefined)[]>()
  /** Lanes with something to send, nothing in flight and no wait for a retry. */
  readonly #ready = new Set<Lane>()
  readonly #abort = new AbortController()
  #driver: Promise<ProducerDriver> | undefined
  #byPartition = false
  #scheduled = false
  #idle: (() => void)[] = []
  #closed = false

  constructor(adapter: AnyAdapter, environment: Environment, strict: boolean = false, maxBatch: number = 1024 * 1024) {
    this.adapter = adapter
    this.#strict = strict
    this.#environment = environment
    this.#maxBatch = maxBatch
  }

  /** Queues one record behind those of its partition. `settle` is called once, never synchronously. */
  enqueue(record: OutgoingRecord, settle: Settle): void {
    if (this.#closed) throw new StreamError('closed', `the producer for '${record.topic}' is closed`)
    const size = sizeOf(record)
    const lane = this.#lane(record)
    const { failure } = lane
    if (failure) return queueMicrotask(() => settle(failure, undefined))
    this.bufferedBytes += size
    lane.queue.push({ record, size, settle })
    if (!lane.inFlight) this.#wake(lane)
  }

  /** Since when a partition of the topic takes nothing, monotonic ms; `undefined` while all do. */
  failingSince(topic: string): number | undefined {
    let since: number | undefined
    for (const lane of this.#lanes.get(topic) ?? [])
      if (lane?.failingSince !== undefined && lane.failingSince < (since ?? Infinity)) since = lane.failingSince
    return since
  }

  /** Resolves when all are durable; rejects with the first error that no retry will mend. */
  send(records: readonly OutgoingRecord[]): Promise<void> {
    if (records.length === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      let open = records.length
      let failure: StreamError | undefined
      const settle: Settle = error => {
        failure ??= error
        if (--open > 0) return
        if (failure) reject(failure)
        else resolve()
      }
      for (const record of records) this.enqueue(record, settle)
    })
  }

  /** Resolves when nothing is queued or in flight. */
  flush(): Promise<void> {
    if (this.bufferedBytes === 0) return Promise.resolve()
    return new Promise(resolve => this.#idle.push(resolve))
  }

  /** Waits for what is queued, unless aborted: then the rest is rejected with code `aborted`. */
  async close(signal?: AbortSignal): Promise<void> {
    if (this.#closed) return
    const stop = (): void => this.#abort.abort(signal?.reason)
    if (signal?.aborted) stop()
    signal?.addEventListener('abort', stop, { once: true })
    await this.flush()
    signal?.removeEventListener('abort', stop)
    this.#closed = true
    this.#abort.abort()
    if (this.#driver) await (await this.#driver.catch(() => undefined))?.close()
  }

  #lane({ topic, partition }: OutgoingRecord): Lane {
    let lanes = this.#lanes.get(topic)
    if (!lanes) this.#lanes.set(topic, (lanes = []))
    return (lanes[partition] ??= { topic, partition, queue: [], inFlight: false, attempt: 0 })
  }

  #wake(lane: Lane): void {
    this.#ready.add(lane)
    if (this.#scheduled) return
    this.#scheduled = true
    // After the microtasks of this turn, so that a burst of sends becomes one request.
    void this.#environment.turn().then(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    while (this.#ready.size > 0) {
      const batch: Item[] = []
      const parts: { lane: Lane; items: Item[] }[] = []
      let bytes = 0
      for (const lane of this.#ready) {
        this.#ready.delete(lane)
        lane.inFlight = true
        const items = take(lane, this.#maxBatch - bytes)
        parts.push({ lane, items })
        for (const item of items) {
          batch.push(item)
          bytes += item.size
        }
        if (bytes >= this.#maxBatch || this.#byPartition) break
      }
      void this.#request(batch, parts)
    }
  }

  async #request(batch: readonly Item[], parts: readonly { lane: Lane; items: Item[] }[]): Promise<void> {
    let results: readonly SendResult[]
    try {
      this.#driver ??= this.adapter.producer()
      const driver = await this.#driver
      this.#byPartition = driver.byPartition === true
      results = await driver.send(
        batch.map(item => item.record),
        this.#abort.signal
      )
    } catch (error) {
      // The driver itself could not be made: make it anew at the next attempt.
      if (
        await this.#driver?.then(
          () => false,
          () => true
        )
      )
        this.#driver = undefined
      results = batch.map(() => ({ ok: false, error }))
    }
    let at = 0
    for (const { lane, items } of parts) this.#settle(lane, items, results.slice(at, (at += items.length)))
    if (this.bufferedBytes === 0) for (const resolve of this.#idle.splice(0)) resolve()
  }

  #settle(lane: Lane, items: readonly Item[], results: readonly SendResult[]): void {
    let failedAt = -1
    for (const [index, item] of items.entries()) {
      const result = results[index]!
      if (!result.ok) {
        failedAt = index
        break
      }
      this.bufferedBytes -= item.size
      item.settle(undefined, result.position)
    }
    lane.inFlight = false
    if (failedAt !== 0) lane.failingSince = undefined
    if (failedAt < 0) lane.attempt = 0
    else this.#failed(lane, items.slice(failedAt), (results[failedAt] as { error: unknown }).error)
    if (lane.queue.length > 0 && lane.attempt === 0) this.#wake(lane)
  }

  #failed(lane: Lane, items: readonly Item[], thrown: unknown): void {
    const error = classified(this.adapter, thrown, `sending to '${lane.topic}' partition ${lane.partition}`)
    const [first, ...rest] = items
    if (!error.retryable || this.#abort.signal.aborted) {
      const all = this.#strict || this.#abort.signal.aborted
      if (this.#strict) lane.failure = error
      const dropped = all ? [...items, ...lane.queue.splice(0)] : [first!]
      if (!all) lane.queue = [...rest, ...lane.queue]
      for (const item of dropped) {
        this.bufferedBytes -= item.size
        item.settle(error, undefined)
      }
      lane.attempt = 0
      return
    }
    lane.queue = [...items, ...lane.queue]
    lane.failingSince ??= this.#environment.monotonic()
    lane.attempt++
    diagnose('send-retried', { topic: lane.topic, partition: lane.partition, attempt: lane.attempt, error })
    lane.inFlight = true // holds the lane until the wait is over
    const again = (): void => {
      timer.cancel()
      this.#abort.signal.removeEventListener('abort', again)
      lane.inFlight = false
      this.#wake(lane)
    }
    const timer = this.#environment.timer(delayOf({ first: 20, most: 5_000 }, lane.attempt, this.#environment), again)
    this.#abort.signal.addEventListener('abort', again, { once: true })
  }
}

function take(lane: Lane, maxBytes: number): Item[] {
  let bytes = 0
  let count = 0
  for (const item of lane.queue) {
    if (count > 0 && bytes + item.size > maxBytes) break
    bytes += item.size
    count++
  }
  if (count === lane.queue.length) {
    const all = lane.queue
    lane.queue = []
    return all
  }
  return lane.queue.splice(0, count)
}
