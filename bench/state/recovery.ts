import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type Client } from '../../src/index.ts'
import { progress, spread, type Amount } from '../measure.ts'
import { produce } from '../ours.ts'
import { byteTopic, entries, fresh, partitions } from '../records.ts'
import { Worker, type Job } from '../worker/index.ts'

const sessionTimeout = 2_000
const patience = 120_000

/**
 * The only worker of a pipeline with state is killed and started again at once. What is timed goes from the kill to the first
 * committed output of a record that was sent after it: of any partition, and of all.
 */
export function recovery(name: string, url: string, keys: number, runs: number): Promise<Amount[]> {
  return measured(name, url, keys, runs)
}

/** The same of one of two workers: the other takes over what it held, and may have stood by for it. */
export async function takenOver(
  name: string,
  url: string,
  keys: number,
  runs: number,
  standby: boolean
): Promise<Amount[]> {
  // Its own partitions have outputs all the time.
  const [, all] = await measured(name, url, keys, runs, standby)
  return [all!]
}

async function measured(name: string, url: string, keys: number, runs: number, standby?: boolean): Promise<Amount[]> {
  const [any, all]: number[][] = [[], []]
  for (let run = 1; run <= runs; run++) {
    await using client = await connect({ brokers: { default: url }, variables: {} })
    const times = await timed(client, url, keys, standby)
    any!.push(times.any)
    all!.push(times.all)
    progress(
      `${name} ${run}/${runs}: first output after ${Math.round(times.any)} ms, of all partitions ${Math.round(times.all)} ms`
    )
  }
  return [
    { name: `${name}, first output`, amount: spread(any!), unit: 'ms', records: keys },
    { name: `${name}, all partitions`, amount: spread(all!), unit: 'ms', records: keys }
  ]
}

async function timed(
  client: Client,
  url: string,
  keys: number,
  standby?: boolean
): Promise<{ any: number; all: number }> {
  const [from, to] = [byteTopic(fresh('in')), byteTopic(fresh('out'))]
  await client.admin.create(from)
  await client.admin.create(to)
  await produce(client, from, keys, { keys })
  const job: Job = {
    ...{ url, name: fresh('run'), topics: [from.name, to.name], partitions, stateful: true, guarantee: 'exactly-once' },
    sessionTimeout,
    ...(standby !== undefined && { standby })
  }
  /** Partition -> event time of the newest output. */
  const newest = new Map<number, { readonly eventTime: number; readonly at: number }>()
  const stop = new AbortController()
  let seen = 0
  const reading = (async (): Promise<void> => {
    for await (const { partition, eventTime } of client.consumer(to, { group: fresh('seen'), signal: stop.signal })) {
      seen++
      if ((newest.get(partition)?.eventTime ?? 0) < eventTime) newest.set(partition, { eventTime, at: Date.now() })
    }
  })()
  reading.catch(() => {})
  const sending = trickle(client, from, stop.signal)
  sending.catch(() => {})
  const first = new Worker(job)
  try {
    await until(() => seen >= keys, 'did not get through its input')
    await sleep(1_000)
    await using other = standby === undefined ? undefined : new Worker(job)
    await other?.assigned(1)
    if (standby) await other?.followed(partitions / 2)
    // Both have their share by now, and are in their stride.
    if (other) await sleep(5_000)
    const killedAt = Date.now()
    await first.kill()
    await using second = other ?? new Worker(job)
    let any: number | undefined
    await until(() => {
      const after = [...newest.values()].filter(({ eventTime }) => eventTime > killedAt)
      if (after.length > 0) any ??= Math.min(...after.map(({ at }) => at)) - killedAt
      return after.length === partitions
    }, 'did not come back')
    const all = Date.now() - killedAt
    await second.stop()
    return { any: any!, all }
  } finally {
    stop.abort()
    await first.kill()
    await sending
    await reading
  }
}

/** Records of now, for as long as nobody says stop. */
async function trickle(client: Client, to: ReturnType<typeof byteTopic>, signal: AbortSignal): Promise<void> {
  const producer = await client.producer(to)
  for (let sent = 0; !signal.aborted; sent += 40) {
    await producer.sendAll(entries(sent, sent + 40))
    await sleep(20)
  }
  await producer.close()
}

async function until(isSo: () => boolean, otherwise: string): Promise<void> {
  const late = performance.now() + patience
  while (!isSo()) {
    if (performance.now() > late) throw new Error(`the worker ${otherwise}`)
    await sleep(1)
  }
}
