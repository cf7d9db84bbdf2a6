import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  keyed,
  number,
  pipeline,
  processor,
  type Client,
  type Diagnostics,
  type Guarantee,
  type Pipeline,
  type ProcessorOptions,
  type RunOptions,
  type Topic
} from '../src/index.ts'
import type { LoopDelay } from './loop-delay.ts'
import { Clock, type Run } from './measure.ts'
import { distinctKeys, entries, fresh, inBatches, recordAt, type Shape } from './records.ts'

type ByteTopic = Topic<string, Uint8Array, Uint8Array>

/** Sends `count` records, waiting for the broker as any producer must. */
export async function produce(client: Client, topic: ByteTopic, count: number, shape: Shape = {}): Promise<Run> {
  const producer = await client.producer(topic)
  const clock = new Clock()
  clock.start()
  await inBatches(count, (from, to) => producer.sendAll(entries(from, to, shape)), shape.bytes)
  clock.stop(count)
  await producer.close()
  await assertHolds(client, topic, count)
  return clock.run
}

/** Throws when a topic does not hold so many records: a figure for records that were not written is none. */
export async function assertHolds(client: Client, topic: ByteTopic, count: number): Promise<void> {
  const held = await recordsIn(client, topic)
  if (held !== count) throw new Error(`${count} records were sent to '${topic.name}', it holds ${held}`)
}

async function recordsIn(client: Client, topic: ByteTopic): Promise<number> {
  const rows = await client.admin.backlog('nobody', topic)
  return rows.reduce((sum, { records }) => sum + records, 0)
}

/** Reads `count` records in a group of its own, from the first record to the last. */
export async function consume(client: Client, topic: ByteTopic, count: number): Promise<Run> {
  const clock = new Clock()
  let seen = 0
  for await (const records of client.consumer(topic, { group: fresh('group') }).batches()) {
    clock.start()
    seen += records.length
    if (seen >= count) break
  }
  clock.stop(seen)
  return clock.run
}

export interface ThroughOptions extends RunOptions {
  /** All is committed: what else to wait for before the run is stopped. */
  onCommitted?(): Promise<void> | void
}

/** Runs a pipeline, with commits of 100 ms, until its tasks have committed so many records, those of all its stages together. */
export async function runThrough(
  client: Client,
  app: Pipeline,
  count: number,
  { onCommitted, ...options }: ThroughOptions = {}
): Promise<void> {
  let committed = 0
  const stop = new AbortController()
  const onCommit = (event: unknown): void => {
    const { task, records } = event as Diagnostics['commit']
    if (!task.startsWith(`${app.name}/`)) return
    const before = committed
    committed += records
    if (before >= count || committed < count) return
    void Promise.resolve(onCommitted?.()).finally(() => stop.abort())
  }
  subscribe('tidemark:commit', onCommit)
  try {
    await client.run(app, { ...options, signal: stop.signal, commitInterval: 100 })
  } finally {
    unsubscribe('tidemark:commit', onCommit)
  }
}

export interface ProcessOptions {
  readonly guarantee?: Guarantee
  /** Watches the event loop between the first record and the last commit. */
  readonly delay?: LoopDelay
  /** Distinct keys of the input, when they are others than those of every figure. */
  readonly keys?: number | undefined
}

/**
 * Runs one processor, exactly once, over `count` records whose producer has said goodbye, and then reads its output
 * again. The clock goes from the first record that the handler sees to the moment when everything is committed and in the
 * output topic.
 *
 * @param stateful counts the records of each key; else each is passed on as it is
 */
export async function process(
  client: Client,
  from: ByteTopic,
  to: ByteTopic,
  count: number,
  stateful: boolean,
  { guarantee = 'exactly-once', delay, keys }: ProcessOptions = {}
): Promise<Run> {
  const clock = new Clock()
  delay?.start()
  await runThrough(client, pipeline(fresh('run'), [stage(clock, from, to, stateful)]), count, {
    guarantee,
    async onCommitted() {
      await waitForOutput(client, to, count)
      clock.stop(count)
      delay?.stop()
    }
  })
  await recount(client, to, count, stateful, keys)
  return clock.run
}

function stage(clock: Clock, from: ByteTopic, to: ByteTopic, stateful: boolean): ReturnType<typeof processor> {
  if (!stateful) {
    return processor({
      name: 'copy',
      from,
      to,
      process({ key, value }) {
        clock.start()
        return { key, value }
      }
    })
  }
  const options: ProcessorOptions<ByteTopic, ByteTopic, { count: ReturnType<typeof keyed<number>> }> = {
    name: 'count',
    from,
    to,
    state: { count: keyed(number, 0) as ReturnType<typeof keyed<number>> },
    process({ key, value }, { state }) {
      clock.start()
      const count = (state.count.get() ?? 0) + 1
      state.count.set(count)
      const out = Buffer.from(value)
      out.writeDoubleBE(count)
      return { key, value: out }
    }
  }
  return processor(options)
}

/** Where a store keeps outputs until they are sent, the last of them come a little after their commit. */
export async function waitForOutput(client: Client, topic: ByteTopic, count: number): Promise<void> {
  // Markers of transactions take places in the log, too.
  while ((await recordsIn(client, topic)) < count) await sleep(2)
}

/** Nothing lost, nothing twice; with state, the counts of each key are 1, 2, 3 ... without a hole. */
export async function recount(
  client: Client,
  topic: ByteTopic,
  count: number,
  stateful: boolean,
  keys: number = distinctKeys
): Promise<void> {
  const perKey = new Map<string, number>()
  const expected = new Map<string, number>()
  for (let index = 0; index < count; index++) {
    const key = recordAt(index, { keys }).key.toString()
    expected.set(key, (expected.get(key) ?? 0) + 1)
  }
  let seen = 0
  const patience = AbortSignal.timeout(60_000)
  for await (const records of client.consumer(topic, { group: fresh('recount'), signal: patience }).batches()) {
    for (const { key, value } of records) {
      const name = Buffer.from(key).toString()
      const next = (perKey.get(name) ?? 0) + 1
      perKey.set(name, next)
      const found = stateful ? Buffer.from(value).readDoubleBE(0) : next
      if (found !== next) throw new Error(`key ${name}: count ${found} came where ${next} was due`)
    }
    seen += records.length
    if (seen >= count) break
  }
  const wrong = [...expected].filter(([key, records]) => perKey.get(key) !== records).length
  if (seen !== count || wrong > 0)
    throw new Error(`${count} records in, ${seen} out, and ${wrong} of ${expected.size} keys are wrong`)
}
