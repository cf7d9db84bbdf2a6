import { createHistogram } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client, Entry, Topic } from '../../src/index.ts'
import { inBatches, recordAt, valueBytes } from '../records.ts'

type ByteTopic = Topic<string, Uint8Array, Uint8Array>

/** ms between two looks at what is due: what a record waits for the others of its batch counts as latency. */
const tick = 5

/** Microseconds from the time when a record was to be sent until its result was read. */
export type Latencies = ReturnType<typeof createHistogram>

/** Record number `index`, with its number and the time when it is due (`performance.now()`) in its value. */
function stamped(index: number, due: number): Entry<Uint8Array, Uint8Array> {
  const { key, value } = recordAt(index)
  const own = Buffer.allocUnsafe(valueBytes)
  value.copy(own)
  own.writeDoubleLE(due, 0)
  own.writeUInt32LE(index, 8)
  return { key, value: own }
}

/**
 * Sends records at a steady rate, whatever happens: each is due at its own time, and when the sender, the broker or the machine
 * hesitates, the wait counts from then for every record that was due meanwhile (no coordinated omission).
 */
export async function offer(client: Client, topic: ByteTopic, rate: number, total: number): Promise<void> {
  const producer = await client.producer(topic, { maxBufferedBytes: 512 * 1_024 * 1_024 })
  const start = performance.now() + 50
  const dueAt = (index: number): number => start + (index / rate) * 1e3
  const onTheirWay = new Set<Promise<unknown>>()
  let failure: unknown
  for (let sent = 0; sent < total; await sleep(tick)) {
    const due = Math.min(total, Math.floor(((performance.now() - start) / 1e3) * rate) + 1)
    if (due <= sent) continue
    const from = sent
    const sending = producer
      .sendAll(Array.from({ length: due - from }, (_, index) => stamped(from + index, dueAt(from + index))))
      .catch(error => (failure ??= error))
      .finally(() => onTheirWay.delete(sending))
    onTheirWay.add(sending)
    sent = due
    if (failure) break
  }
  await Promise.all(onTheirWay)
  await producer.close()
  if (failure) throw failure
}

/** Sends as fast as the broker takes them. */
export async function flood(client: Client, topic: ByteTopic, from: number, to: number): Promise<void> {
  const producer = await client.producer(topic)
  await inBatches(to - from, (first, last) =>
    producer.sendAll(
      Array.from({ length: last - first }, (_, index) => stamped(from + first + index, performance.now()))
    )
  )
  await producer.close()
}

/** Reads results, sees that each record comes, and times those from a number on. */
export class Results {
  readonly latencies: Latencies = createHistogram()
  readonly #seen: Uint8Array
  readonly #timedFrom: number
  #count = 0
  #repeats = 0

  constructor(total: number, timedFrom: number) {
    this.#seen = new Uint8Array(total)
    this.#timedFrom = timedFrom
  }

  get count(): number {
    return this.#count
  }

  /** Records that came more than once. */
  get repeats(): number {
    return this.#repeats
  }

  /** Until all are there, or the signal says that it is enough. */
  async read(client: Client, topic: ByteTopic, group: string, signal: AbortSignal): Promise<void> {
    for await (const records of client.consumer(topic, { group, signal }).batches()) {
      const now = performance.now()
      for (const { value } of records) {
        const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
        const index = bytes.readUInt32LE(8)
        if (this.#seen[index]) this.#repeats++
        else {
          this.#seen[index] = 1
          this.#count++
        }
        if (index >= this.#timedFrom)
          this.latencies.record(Math.max(1, Math.round((now - bytes.readDoubleLE(0)) * 1e3)))
      }
      if (this.#count === this.#seen.length) return
    }
    throw new Error(`${this.#seen.length - this.#count} of ${this.#seen.length} records did not come out`)
  }
}
