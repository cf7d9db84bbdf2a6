import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connect, type Client } from '../../src/index.ts'
import { progress, spread, type Figure } from '../measure.ts'
import { byteTopic, entries, fresh, partitions } from '../records.ts'
import { session, type TakeOverJob } from './worker.ts'

const script = fileURLToPath(new URL('./worker.ts', import.meta.url))

/**
 * Two processes share a pipeline and one is killed. What is timed goes from the kill until the other has committed, and sent, records
 * of every partition that came after it.
 */
export async function takeOver(name: string, folder: string, runs: number): Promise<Figure> {
  const delays: number[] = []
  const rates: number[] = []
  for (let turn = 1; turn <= runs; turn++) {
    await using client = await connect({ brokers: { default: `file:${folder}` }, variables: {} })
    const { delay, rate } = await timed(client, folder)
    delays.push(delay)
    rates.push(rate)
    progress(`${name} ${turn}/${runs}: ${Math.round(delay)} ms`)
  }
  const none = spread([0])
  return { name, rate: spread(rates), cpu: none, busy: none, delay: spread(delays), records: partitions, runs }
}

async function timed(client: Client, folder: string): Promise<{ delay: number; rate: number }> {
  const job: TakeOverJob = { folder, name: fresh('run'), from: fresh('in'), to: fresh('out') }
  const [from, to] = [byteTopic(job.from), byteTopic(job.to)]
  const producer = await client.producer(from)
  const stop = new AbortController()
  let sent = 0
  const sending = (async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await producer.sendAll(entries(sent, sent + 40))
      sent += 40
      await sleep(20)
    }
  })()
  /** Partition -> event time of the newest output, and when it was seen. */
  const newest = new Map<number, { readonly eventTime: number; readonly at: number }>()
  let seen = 0
  const reading = (async (): Promise<void> => {
    for await (const { partition, eventTime } of client.consumer(to, { group: fresh('seen'), signal: stop.signal })) {
      seen++
      if ((newest.get(partition)?.eventTime ?? 0) < eventTime) newest.set(partition, { eventTime, at: Date.now() })
    }
  })().catch(() => {})
  const workers = [start(job), start(job)]
  try {
    // Both have their share, and all is in its stride.
    await until(() => newest.size === partitions)
    await sleep(3_000)
    const before = seen
    await sleep(1_000)
    const rate = seen - before
    const killedAt = Date.now()
    workers[0]!.kill('SIGKILL')
    const isTaken = (): boolean => [...newest.values()].every(({ eventTime }) => eventTime > killedAt)
    await until(isTaken)
    return { rate, delay: Math.max(...[...newest.values()].map(({ at }) => at)) - killedAt }
  } finally {
    stop.abort()
    await sending
    await reading
    for (const worker of workers) await ended(worker)
    await producer.close()
  }
}

function start(job: TakeOverJob): ChildProcess {
  return spawn(process.execPath, [script, JSON.stringify(job)], { stdio: ['ignore', 'ignore', 'inherit'] })
}

async function ended(worker: ChildProcess): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return
  worker.kill('SIGKILL')
  await once(worker, 'exit')
}

async function until(isSo: () => boolean): Promise<void> {
  const patience = performance.now() + session * 10 + 20_000
  while (!isSo()) {
    if (performance.now() > patience) throw new Error('the other worker did not take over')
    await sleep(1)
  }
}
