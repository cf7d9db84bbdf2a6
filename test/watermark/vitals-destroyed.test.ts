/**
 * The vitals are destroyed under a running pipeline, on real brokers: nothing is lost or late, records go on meanwhile, and so do the
 * watermarks once the vitals can be written again.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { connect, json, pipeline, processor, text, topic, type Client, type ConnectOptions } from '../../src/index.ts'
import { openAdapter } from '../../src/open-adapter.ts'
import { systemEnvironment } from '../../src/core/environment.ts'
import { noHeaders } from '../../src/core/record.ts'
import type { AnyAdapter } from '../../src/spec/index.ts'
import { encodeVitals, noCounts, vitalsTopic } from '../../src/watermark/index.ts'
import { startKafka } from '../../testcontainers/kafka.ts'

interface Reading {
  readonly id: string
  readonly at: number
}

const kafka = inject('kafka')
const second = 1_000
/** Two hops: a partition that gets no records lives on the vitals, which come once a second. */
const bound = 4 * second

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'tidemark-vitals-'))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  return path
}

/** Two hops at two clients, and producers that send what happens now. Everything is stopped with the test. */
class Chain {
  readonly sent = new Set<string>()
  readonly collected: string[] = []
  readonly late: string[] = []
  #reached = new Map<string, number>()
  readonly #config: ConnectOptions
  readonly #name = `vitals-${Math.random().toString(36).slice(2)}`
  readonly #readings = topic(`${this.#name}-readings`, {
    key: text,
    value: json<Reading>(),
    eventTime: ({ at }) => at,
    partitions: 3
  })
  readonly #passed = topic(`${this.#name}-passed`, { key: text, value: json<Reading>(), partitions: 3 })
  readonly #stop = new AbortController()
  readonly #running: Promise<unknown>[] = []

  constructor(config: ConnectOptions) {
    this.#config = config
    onTestFinished(() => this.#end())
  }

  async start(): Promise<void> {
    const pass = processor({
      name: 'pass',
      from: this.#readings,
      to: this.#passed,
      process: ({ key, value }) => ({ key: `${key}'`, value })
    })
    const collect = processor({
      name: 'collect',
      from: this.#passed,
      process: ({ value, late }) => {
        this.collected.push(value.id)
        if (late) this.late.push(value.id)
      },
      onWatermark: (watermark, { task }) => void this.#reached.set(task, watermark)
    })
    const first = await this.connect()
    await first.admin.ensure(this.#readings)
    for (const [name, stage] of Object.entries({ pass, collect })) {
      const client = await this.connect()
      const app = pipeline(`${this.#name}-${name}`, [stage])
      this.#running.push(client.run(app, { signal: this.#stop.signal, handleSignals: false, commitInterval: 50 }))
    }
    for (const running of this.#running) running.catch(() => {}) // awaited at the end
    await this.produce('a')
    await this.near('before anything is destroyed')
  }

  async connect(): Promise<Client> {
    const client = await connect(this.#config)
    onTestFinished(() => client.close())
    return client
  }

  /** From now on, until the test ends. */
  async produce(name: string): Promise<void> {
    const client = await this.connect()
    const producer = await client.producer(this.#readings)
    const send = async (): Promise<void> => {
      for (let count = 0; !this.#stop.signal.aborted; count++) {
        const id = `${name} ${count}`
        await producer.send({ key: `${name} ${count % 7}`, value: { id, at: Date.now() } })
        this.sent.add(id)
        await sleep(10)
      }
    }
    const sending = send()
    sending.catch(() => {}) // awaited at the end
    this.#running.push(sending)
  }

  /** Waits until every task of the last hop is near to the present. */
  async near(when: string, patience: number = 15 * second): Promise<number> {
    const started = Date.now()
    for (;;) {
      const least = this.#reached.size < 3 ? -Infinity : Math.min(...this.#reached.values())
      const behind = Date.now() - least
      if (behind <= bound) return Date.now() - started
      expect(Date.now() - started, `${when}: the watermark is ${behind} ms behind`).toBeLessThan(patience)
      await sleep(20)
    }
  }

  /** For so long: how many records come through, and what is wrong. */
  async observe(milliseconds: number): Promise<number> {
    const before = this.collected.length
    await sleep(milliseconds)
    return this.collected.length - before
  }

  /** Resolves when so many more records have come through. */
  async goesOn(records: number): Promise<void> {
    const enough = this.collected.length + records
    while (this.collected.length < enough) await sleep(20)
  }

  /** Nothing lost, nothing twice, nothing late; no run has failed. */
  async check(): Promise<void> {
    this.#stop.abort()
    await sleep(0)
    const all = await Promise.allSettled(this.#running)
    expect(all.filter(({ status }) => status === 'rejected')).toEqual([])
    const missing = [...this.sent].filter(id => !this.collected.includes(id))
    // What was still on its way when the runs were told to stop is there for the next.
    expect(missing.length).toBeLessThan(200)
    expect(new Set(this.collected).size).toBe(this.collected.length)
    expect(this.late).toEqual([])
  }

  /** Every record that was sent by now has come through. */
  async complete(): Promise<void> {
    const sent = [...this.sent]
    const started = Date.now()
    for (;;) {
      const collected = new Set(this.collected)
      const missing = sent.filter(id => !collected.has(id))
      if (missing.length === 0) return
      expect(Date.now() - started, `${missing.length} records are missing`).toBeLessThan(15 * second)
      await sleep(50)
    }
  }

  async #end(): Promise<void> {
    this.#stop.abort()
    await Promise.allSettled(this.#running)
  }
}

async function adapterOf(url: string): Promise<AnyAdapter> {
  const adapter = await openAdapter('vitals', url, {})
  await adapter.open(systemEnvironment)
  onTestFinished(() => adapter.close())
  return adapter
}

async function deleteVitals(url: string): Promise<void> {
  const admin = (await adapterOf(url)).admin()
  await admin.deleteTopic(vitalsTopic)
  await admin.close()
}

/** So many reports a second, half of them none that anybody can read. */
async function flood(url: string, rate: number, milliseconds: number): Promise<void> {
  const producer = await (await adapterOf(url)).producer()
  const value = (count: number): Buffer =>
    count % 2 === 0
      ? Buffer.from(`{"v":1,"flood":${count}}`)
      : encodeVitals({
          ...{ producer: 'flood...........', task: 'flood/flood/0', durable: true, state: 'active', watermark: count },
          ...{ outputs: new Map(), counts: noCounts, commit: count, beat: count }
        })
  const rest = { headers: noHeaders, stamp: undefined, topic: vitalsTopic, partition: 0 }
  for (let count = 0, until = Date.now() + milliseconds; Date.now() < until; await sleep(100)) {
    const batch = Array.from({ length: rate / 10 }, () => {
      const id = Buffer.from(`flood-${++count}`.padEnd(16, '.'))
      return { ...rest, key: id, value: value(count), timestamp: Date.now() }
    })
    await producer.send(batch)
  }
  await producer.close()
}

/** Reports of a chain in a second: two stages of three tasks, and two producers. */
const usualRate = 8

const brokers: Readonly<Record<string, () => Promise<string>>> = {
  file: async () => `file:${await folder()}`,
  ...(kafka.state === 'running' && { kafka: async () => kafka.url })
}

describe.each(Object.entries(brokers))('on %s', (name, place) => {
  it(
    'the topic of the vitals is deleted: it is made anew, and everybody is known again',
    { timeout: 60_000 },
    async () => {
      // On a shared server the topic is everybody's: a broker of its own carries the vitals of this test.
      const url = await place()
      const own = name === 'file' ? url : `file:${await folder()}`
      const chain = new Chain({
        brokers: { default: url, own },
        topics: { [vitalsTopic]: { broker: 'own' } },
        variables: {}
      })
      await chain.start()
      for (let times = 0; times < 3; times++) {
        await deleteVitals(own)
        await chain.goesOn(50)
      }
      // Known to nobody: it announces itself in the topic that has been made anew.
      await chain.produce('b')
      await chain.near('after the topic was deleted')
      await chain.complete()
      await chain.check()
    }
  )

  it('ten times as many reports as usual', { timeout: 60_000 }, async () => {
    const url = await place()
    const chain = new Chain({ brokers: { default: url }, variables: {} })
    await chain.start()
    const usual = await chain.observe(3 * second)
    const flooding = flood(url, 10 * usualRate, 5 * second)
    expect(await chain.observe(3 * second)).toBeGreaterThan(usual / 2)
    await chain.near('in the flood')
    await flooding
    await chain.complete()
    await chain.check()
  })
})

const ownKafka = kafka.state === 'running' ? it : it.skip

ownKafka(
  'the broker of the vitals is killed: records go on, and everybody is known again when it is back',
  { timeout: 180_000 },
  async () => {
    const server = await startKafka()
    onTestFinished(() => server.stop())
    const config = (vitals: string): ConnectOptions => ({
      brokers: { default: data, vitals },
      topics: { [vitalsTopic]: { broker: 'vitals' } },
      variables: {}
    })
    const data = `file:${await folder()}`
    const chain = new Chain(config(server.url))
    await chain.start()
    const usual = await chain.observe(3 * second)
    await server.kill()
    expect(await chain.observe(3 * second)).toBeGreaterThan(usual / 2)
    expect(await chain.observe(3 * second)).toBeGreaterThan(usual / 2)
    await server.restart()
    await chain.near('after the broker of the vitals has come back', 30 * second)
    await chain.produce('b')
    await chain.complete()
    await chain.near('at the end')
    await chain.check()
  }
)
