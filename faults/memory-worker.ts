/**
 * `node memory-worker.ts <job as JSON>`: one pipeline in one process whose source yields as fast as it is asked, in bursts, and whose sink takes a
 * tenth of that. It checks each record as it comes and remembers one number for each key: what grows is not the check.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, json, keyed, number, pipeline, processor, sink, source, text, topic } from '../src/index.ts'

export interface MemoryJob {
  readonly name: string
  readonly url: string
  readonly store: string | undefined
  readonly sessionTimeout: number
  /** How long bursts go on, ms. */
  readonly duration: number
  /** From the begin of one burst to that of the next, ms: the sink has so long for it. */
  readonly every: number
  /** Bytes that each record carries for nothing. */
  readonly payload: number
}

export interface MemoryReport {
  readonly emitted: number
  readonly collected: number
  /** Records that were not the next of their key. */
  readonly wrong: number
  readonly bursts: number
  /** Records a second, in the fastest burst, and at the sink over the whole time. */
  readonly burst: number
  readonly sunk: number
  /** The source has ended, and everything has come. */
  readonly done: boolean
}

interface Item {
  readonly value: number
  readonly weight: string
}

const job = JSON.parse(process.argv[2]!) as MemoryJob
const partitions = 4
const keys = 64
const share = 10
const items = topic(`items-${job.name}`, { key: text, value: json<Item>(), partitions })
const counted = topic(`counted-${job.name}`, { key: text, value: json<Item & { nth: number }>(), partitions })
const weight = 'x'.repeat(job.payload)

let emitted = 0
let bursts = 0
let burst = 0
const began = performance.now()

const feed = source({
  name: 'feed',
  to: items,
  async *run({ resume, signal }) {
    let value = Number(resume ?? 0)
    while (performance.now() - began < job.duration && !signal.aborted) {
      const start = performance.now()
      const first = value
      bursts++
      while (performance.now() - start < job.every / share && !signal.aborted) {
        yield Array.from({ length: 50 }, () => ({
          key: `k${value % keys}`,
          value: { value, weight },
          cursor: ++value
        }))
        emitted = value
      }
      burst = Math.max(burst, (value - first) / ((performance.now() - start) / 1_000))
      await sleep(job.every - job.every / share, undefined, { signal }).catch(() => {})
    }
  }
})

const count = processor({
  name: 'count',
  from: items,
  to: counted,
  state: { nth: keyed(number, 0) },
  process({ key, value }, { state }) {
    state.nth.set(state.nth.get() + 1)
    return { key, value: { ...value, nth: state.nth.get() } }
  }
})

/** Key -> how many of it have come. */
const seen = new Map<string, number>()
let collected = 0
let wrong = 0
const collect = sink({
  name: 'collect',
  from: counted,
  async write(records) {
    for (const { key, value } of records) {
      const nth = (seen.get(key) ?? 0) + 1
      const expected = (nth - 1) * keys + Number(key.slice(1))
      if (value.nth !== nth || value.value !== expected) wrong++
      seen.set(key, nth)
      collected++
    }
    // All tasks of the sink together: a tenth of what comes in a burst.
    await sleep((records.length * 1_000 * partitions * share) / Math.max(burst, 1_000))
  }
})

function report(done: boolean): void {
  const sunk = collected / ((performance.now() - began) / 1_000)
  process.send!({ emitted, collected, wrong, bursts, burst, sunk, done } satisfies MemoryReport)
}

const client = await connect({
  brokers: { default: job.url },
  ...(job.store !== undefined && { store: job.store }),
  variables: {}
})
const telling = setInterval(() => report(false), 500)
await client.run(pipeline(`memory-${job.name}`, [feed, count, collect]), {
  sessionTimeout: job.sessionTimeout,
  // A tenth of the defaults: they are for a process with room.
  maxBufferedBytes: 4 * 1024 * 1024,
  commitBytes: 512 * 1024,
  commitRecords: 500
})
clearInterval(telling)
await client.close()
report(true)
process.disconnect()
