import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { withRetry } from '../src/broker/index.ts'
import { systemEnvironment } from '../src/core/environment.ts'
import { BrokerStore, type CommitStore } from '../src/exactly-once/index.ts'
import { connect } from '../src/index.ts'
import { openStore } from '../src/pipeline/index.ts'
import type { AnyAdapter, Delivery } from '../src/spec/index.ts'
import { pythonWith, runPython } from '../test/support/python.ts'
import type { Evidence } from './checker.ts'
import { outputsFile, type Job, type Line } from './job.ts'
import { chain, partitions } from './pipeline.ts'
import { storedRows } from '../test/support/stored-rows.ts'

const referee = fileURLToPath(new URL('./read_committed.py', import.meta.url))
/** Ms that a queue may take to deliver what is left of it. */
const patience = 40_000

const lineOf = (value: Uint8Array): Line => JSON.parse(Buffer.from(value).toString('utf8')) as Line

/** Rows that the sinks have written so far. */
export function rowsLoaded(folder: string): number {
  return counting(folder, database => {
    const [row] = database.prepare('SELECT count(*) AS rows FROM lines').all()
    return Number(row!['rows'])
  })
}

function counting(folder: string, count: (database: DatabaseSync) => number): number {
  try {
    const database = new DatabaseSync(join(folder, outputsFile), { readOnly: true, timeout: 2_000 })
    try {
      return count(database)
    } finally {
      database.close()
    }
  } catch {
    return 0 // it is not there yet, or busy
  }
}

export function loaded(folder: string): Evidence['loaded'] {
  const database = new DatabaseSync(join(folder, outputsFile), { readOnly: true, timeout: 5_000 })
  try {
    const rows = (table: string): Line[] => database.prepare(`SELECT * FROM ${table}`).all() as unknown as Line[]
    return { lines: rows('lines'), totals: rows('totals') }
  } finally {
    database.close()
  }
}

/** Reads topics as one who knows nothing of stamps: on a queue from the beginning of the run on, as it keeps nothing for others. */
export class Foreigner implements AsyncDisposable {
  readonly adapter: AnyAdapter
  readonly #client: Awaited<ReturnType<typeof connect>>
  readonly #taps = new Map<string, { readonly deliveries: Delivery[]; stop(): Promise<void> }>()

  /** A Python with Confluent's client. */
  readonly #referee: string | undefined

  private constructor(client: Awaited<ReturnType<typeof connect>>, referee: string | undefined) {
    this.#client = client
    this.#referee = referee
    this.adapter = client.broker()
  }

  /** @param python of Kafka: topics are read by a client of somebody else */
  static async open(url: string, job: Job, python: boolean): Promise<Foreigner> {
    const referee = python ? await pythonWith(['confluent-kafka==2.16.0']) : undefined
    const client = await connect({ brokers: { default: url }, store: 'memory:', variables: {} })
    const foreigner = new Foreigner(client, referee)
    const { lines, echoes, totals } = chain(job)
    if (foreigner.adapter.capabilities.positions === 'none')
      for (const topic of [lines, echoes, totals]) {
        await client.admin.create(topic)
        await foreigner.#tap(topic.name)
      }
    return foreigner
  }

  /**
   * All records of a topic, by partition.
   *
   * @param atLeast of a queue, which has no end: so many different ones are waited for
   */
  async read(topic: string, atLeast: number): Promise<Line[]> {
    const tap = this.#taps.get(topic)
    if (tap) {
      const lines = (): Line[] => tap.deliveries.map(({ value }) => lineOf(value!))
      for (const until = performance.now() + patience; performance.now() < until; await sleep(100))
        if (new Set(lines().map(({ id }) => id)).size >= atLeast) break
      return lines()
    }
    if (this.#referee !== undefined) {
      const broker = this.adapter.location.replace('kafka://', '')
      const printed = await runPython(this.#referee, referee, [broker, topic], '')
      return printed.split('\n').flatMap(line => (line === '' ? [] : [JSON.parse(line) as Line]))
    }
    const found: Line[] = []
    for (let partition = 0; partition < partitions; partition++) {
      // A server that has been through a storm may still be slow.
      const retried = { adapter: this.adapter, environment: systemEnvironment, doing: `counting ${topic}` }
      found.push(...(await withRetry(retried, () => this.#readPartition(topic, partition))))
    }
    return found
  }

  async #readPartition(topic: string, partition: number): Promise<readonly Line[]> {
    const found: Line[] = []
    const from = { topic, partition, from: 'earliest', readCommitted: true, maxBytes: 1 << 20 } as const
    const reader = await this.adapter.partitionReader!(from)
    try {
      for (let atEnd = false; !atEnd;) {
        const received = await reader.receive({ wait: 500 })
        atEnd = received.atEnd
        for (const { value } of received.records) if (value !== null) found.push(lineOf(value))
      }
      return found
    } finally {
      await reader.close()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const tap of this.#taps.values()) await tap.stop()
    await this.#client.close()
  }

  async #tap(topic: string): Promise<void> {
    const all = Array.from({ length: partitions }, (_, partition) => partition)
    const subscription = await this.adapter.queueSubscription!({
      group: 'foreigner',
      topic,
      partitions: all,
      maxBytes: 4 << 20
    })
    const stop = new AbortController()
    const deliveries: Delivery[] = []
    const reading = (async () => {
      while (!stop.signal.aborted) {
        const some = await subscription.receive({ wait: 500, signal: stop.signal }).catch(() => [])
        deliveries.push(...some)
        await subscription.acknowledge(some.map(({ id }) => id)).catch(() => {})
      }
    })()
    this.#taps.set(topic, {
      deliveries,
      async stop() {
        stop.abort()
        await reading
        await subscription.close()
      }
    })
  }
}

/** What `book` has committed for each account, read from where it commits. */
export async function stateOf(job: Job, store: string, adapter: AnyAdapter): Promise<Evidence['state']> {
  const commits: CommitStore =
    store === 'broker' ? new BrokerStore(adapter, partitions) : await openStore(store, new Map(), systemEnvironment)
  const state = new Map<string, { line: number; balance: number }>()
  const pipeline = `chaos-${job.run}`
  try {
    for (let ordinal = 0; ordinal < partitions; ordinal++) {
      const log = await commits.acquire({ id: `${pipeline}/book/${ordinal}`, pipeline, stage: 'book', ordinal })
      for (const { slot, key, value } of await storedRows(log.state)) {
        if ((slot !== 'line' && slot !== 'balance') || value === null) continue
        const account = Buffer.from(key, 'latin1').toString('utf8')
        const known = state.get(account) ?? { line: 0, balance: 0 }
        state.set(account, { ...known, [slot]: Buffer.from(value).readDoubleBE(0) })
      }
      await log.close()
    }
  } finally {
    await commits.close()
  }
  return state
}
