/**
 * The worker under test: one process, one pipeline, and its health over HTTP. The parent tells it what its handler is to do;
 * nobody restarts it.
 */
import { subscribe } from 'node:diagnostics_channel'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  connect,
  healthListener,
  json,
  keyed,
  number,
  pipeline,
  processor,
  sink,
  source,
  systemEnvironment,
  text,
  topic,
  type Environment
} from '../src/index.ts'
import type { Answer, Command, Job } from './job.ts'

const job = JSON.parse(process.argv[2]!) as Job
const say = (answer: Answer): void => void process.send!(answer)

const partitions = 2
interface Numbered {
  readonly value: number
  /** What makes it heavy: in the value, because keys and headers of some brokers are small. */
  readonly weight: string
}

const numbers = topic(`numbers-${job.name}`, { key: text, value: json<Numbered>(), partitions })
const counted = topic(`counted-${job.name}`, { key: text, value: json<{ value: number; times: number }>(), partitions })

let handler: Command['handler'] = 'works'
let lift = (): void => {}
let lifted: Promise<void> = Promise.resolve()
let clockAhead = 0
let finishing = false
let emitted = 0
let parked = 0
subscribe('tidemark:record-parked', () => void parked++)

const environment: Environment = { ...systemEnvironment, now: () => systemEnvironment.now() + clockAhead }
const weight = 'x'.repeat(job.payload)

const feed = source({
  name: 'feed',
  to: numbers,
  async *run({ resume, signal }) {
    let value = ((resume as number | undefined) ?? -1) + 1
    // What was emitted and not committed comes again, also when no more is to come.
    while ((!finishing || value < emitted) && !signal.aborted) {
      for (let count = 0; count < job.batch; count++, value++) {
        yield { key: `${value}`, value: { value, weight }, cursor: value }
        emitted = Math.max(emitted, value + 1)
      }
      await sleep(50)
    }
    // It has not come to its end: the run is stopped by its signal.
    while (!signal.aborted) await sleep(50)
  }
})

const count = processor({
  name: 'count',
  from: numbers,
  to: counted,
  state: { times: keyed(number, 0) },
  failure: { retries: Infinity, backoff: { first: 50, most: 500 } },
  process({ key, value: { value } }, { state }) {
    if (handler === 'throws') throw new Error('the handler fails')
    if (handler === 'blocks') {
      handler = 'works'
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, job.duration)
    }
    const times = state.times.get() + 1
    state.times.set(times)
    const result = { key, value: { value, times } }
    return handler === 'hangs' ? lifted.then(() => result) : result
  }
})

/** Value -> most times that it was counted. */
const collected = new Map<number, number>()
const collect = sink({
  name: 'collect',
  from: counted,
  async write(records) {
    for (const { value } of records as readonly { value: { value: number; times: number } }[])
      collected.set(value.value, Math.max(collected.get(value.value) ?? 0, value.times))
    if (job.slowSink > 0) await sleep(job.slowSink)
  }
})

const client = await connect({
  brokers: { default: job.url },
  ...(job.store && { store: job.store }),
  environment,
  variables: job.variables
})
const health = createServer(healthListener(client)).listen(0, '127.0.0.1')
await new Promise(resolve => health.once('listening', resolve))
say({ port: (health.address() as AddressInfo).port })

process.on('message', (command: Command) => {
  if (command.handler) {
    handler = command.handler
    lift()
    if (handler === 'hangs') lifted = new Promise(resolve => (lift = resolve))
  }
  if (command.clockAhead !== undefined) clockAhead = command.clockAhead
  if (command.poison) void poison(command.poison)
  if (command.finish) finishing = true
  if (command.ask) {
    const lost: number[] = []
    let repeated = 0
    for (let value = 0; value < emitted; value++) {
      const times = collected.get(value) ?? 0
      if (times === 0) lost.push(value)
      else if (times > 1) repeated++
    }
    const rss = process.memoryUsage().rss
    say({
      progress: { emitted, collected: collected.size, lost: lost.length, firstLost: lost[0], repeated, parked, rss }
    })
  }
})

/** Bytes that are no number, between those that are. */
async function poison(times: number): Promise<void> {
  const producer = await client.producer(topic(numbers.name, { key: text, value: text }))
  const keys = Array.from({ length: times }, (_, index) => `p${index}`)
  await Promise.all(keys.map(key => producer.send({ key, value: 'no number at all' })))
  say({ poisoned: times })
}

try {
  await client.run(pipeline(`faults-${job.name}`, [feed, count, collect]), {
    guarantee: job.guarantee,
    stalledAfter: job.stalledAfter,
    unreachableAfter: job.unreachableAfter,
    sessionTimeout: job.sessionTimeout,
    drainTimeout: 10_000,
    commitInterval: 50,
    maxBufferedBytes: 8 * 1024 * 1024
  })
  say({ ended: true })
} catch (error) {
  say({ failed: (error as Error).message })
  process.exitCode = 1
}
await client.close()
health.close()
process.disconnect()
