import assert from 'node:assert/strict'
import { bindTopic, decodeRecord, parkedTopic, prepareBatch, Producer, type BoundTopic } from '../../../broker/index.ts'
import { systemEnvironment } from '../../../core/environment.ts'
import type { RawRecord } from '../../../core/record.ts'
import type { SchemaRegistry } from '../../../core/registry.ts'
import { decodeStamp } from '../../../core/stamp.ts'
import type { AnyTopic } from '../../../core/topic.ts'
import {
  ensureGroup,
  groupName,
  openStore,
  parkedGroup,
  producerReports,
  resolveTopic,
  runPipeline,
  runSettings,
  type Pipeline,
  type RunHost
} from '../../../pipeline/index.ts'
import type { AnyAdapter } from '../../../spec/index.ts'
import type { CaseContext } from '../context.ts'
import { QueueReader } from '../queue-reader.ts'
import { QueueTap } from './queue-tap.ts'
import type { Deposit, Ledger, Line } from './ledger.ts'

/** Where the tasks of a case commit: in a store, or in the broker. */
export type CommitPoint = 'store' | 'broker'

/** Time between two commits of a task, ms. */
export const commitInterval = 20

/** Workers, deposits and the check of the lines, for one case. */
export class Bank {
  readonly #context: CaseContext
  readonly #commitIn: CommitPoint
  readonly #registry: SchemaRegistry | undefined
  readonly #store = openStore('memory:', new Map())
  /** On a queue: what was written to a topic since we have known it. */
  readonly #taps = new Map<string, QueueTap>()

  constructor(context: CaseContext, commitIn: CommitPoint, registry?: SchemaRegistry) {
    this.#context = context
    this.#commitIn = commitIn
    this.#registry = registry
  }

  host(adapter: AnyAdapter): RunHost {
    return {
      environment: systemEnvironment,
      registry: this.#registry,
      adapterOf: () => adapter,
      commitIn: this.#commitIn,
      openStore: () => this.#store
    }
  }

  /** A worker in this process on an adapter of its own; `stop` drains it. */
  async work(
    app: Pipeline
  ): Promise<{ readonly ended: Promise<void>; readonly adapter: AnyAdapter; stop(): Promise<void> }> {
    const adapter = await this.#context.start()
    const stop = new AbortController()
    this.#context.signal.addEventListener('abort', () => stop.abort(), { once: true })
    const settings = runSettings({
      commitInterval,
      vitalsInterval: 100,
      sessionTimeout: this.#context.sessionTimeout,
      handleSignals: false
    })
    const ended = runPipeline(this.host(adapter), app, settings, stop.signal)
    ended.catch(() => {}) // the case awaits it when it is time
    return {
      ended,
      adapter,
      stop: () => {
        stop.abort()
        return ended
      }
    }
  }

  async bind(topic: AnyTopic): Promise<BoundTopic> {
    return resolveTopic(this.host(await this.#context.adapter()), topic)
  }

  /** A producer that says goodbye when it is closed: the pipeline then comes to its end. */
  async producer({ deposits, lines, app }: Ledger): Promise<Producer<string, Deposit>> {
    const bound = await this.bind(deposits)
    await this.bind(lines)
    if (bound.adapter.capabilities.positions === 'none') {
      // A queue keeps nothing for readers that it does not know.
      const [stage] = app.stages
      await ensureGroup(bound.adapter, systemEnvironment, groupName(app.name, stage!.name), deposits.name)
      if (!this.#taps.has(lines.name))
        this.#taps.set(lines.name, await QueueTap.open(this.#context, lines.name, lines.partitions ?? 4))
    }
    const reports = await producerReports({ environment: systemEnvironment }, bound, 100)
    const producer = new Producer<string, Deposit>(bound, systemEnvironment, {}, reports)
    await producer.open()
    return this.#context.keep(producer)
  }

  /** Deposits `from` to `to - 1` of 1 each, over twenty accounts. */
  async deposit(producer: Producer<string, Deposit>, from: number, to: number): Promise<void> {
    const entries = Array.from({ length: to - from }, (_, index) => ({
      key: `account-${(from + index) % 20}`,
      value: { amount: 1, at: 1_700_000_000_000 + from + index }
    }))
    await producer.sendAll(entries)
  }

  /** Lines that any reader of committed records sees, in the order of each partition. */
  async lines({ lines }: Ledger): Promise<{ account: string; line: Line; id: string }[]> {
    const bound = await bindTopic(lines, await this.#context.adapter(), lines.partitions ?? 4, this.#registry)
    const all: { account: string; line: Line; id: string }[] = []
    for (let partition = 0; partition < bound.partitions; partition++) {
      const records = await this.#read(lines.name, partition)
      await prepareBatch(bound, records)
      for (const raw of records) {
        const { key, value } = decodeRecord(bound, { topic: lines.name, partition }, raw)
        const { producer, sequence } = decodeStamp(raw.stamp!)
        all.push({
          account: key as string,
          line: value as Line,
          id: `${Buffer.from(producer, 'latin1').toString('hex')}/${partition}/${sequence}`
        })
      }
    }
    return all
  }

  /** What is on the parked topic of the deposits; on a queue in any order, and once. */
  async parked({ deposits }: Ledger, count: number): Promise<readonly RawRecord[]> {
    const topic = parkedTopic(deposits.name)
    const { capabilities } = await this.#context.adapter()
    if (capabilities.positions === 'log') return this.#context.readAll(topic)
    return (await QueueReader.open(this.#context, { group: parkedGroup, topic })).take(count)
  }

  async #read(topic: string, partition: number): Promise<readonly RawRecord[]> {
    const tap = this.#taps.get(topic)
    if (!tap) return this.#context.readAll(topic, partition)
    // The order is what the writer says, where the broker keeps none.
    const sequence = ({ stamp }: RawRecord): number => decodeStamp(stamp!).sequence
    return tap.records(partition).toSorted((left, right) => sequence(left) - sequence(right))
  }

  /**
   * Every deposit booked once, in one history per account. A reader of ours drops repeats by stamp; where the broker itself
   * commits, there are none for any reader.
   */
  async check(ledger: Ledger, deposits: number): Promise<void> {
    const all = await this.lines(ledger)
    const seen = new Set<string>()
    const once = all.filter(({ id }) => !seen.has(id) && seen.add(id))
    if (this.#commitIn === 'broker') assert.equal(all.length, once.length, 'a foreign reader sees no line twice')
    const accounts = Map.groupBy(once, ({ account }) => account)
    for (const [account, history] of accounts) {
      const expected = history.map((_, index) => ({ line: index + 1, balance: index + 1 }))
      assert.deepEqual(
        history.map(({ line }) => line),
        expected,
        `the history of ${account} has no hole and no fork`
      )
    }
    assert.equal(once.length, deposits, 'as many lines as deposits')
  }
}
