import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type Client, type Guarantee } from '../../src/index.ts'
import { kafkaAvailable, startKafka } from '../../testcontainers/kafka.ts'
import type { Bench } from '../bench.ts'
import { progress, spread, thousands, type Amount } from '../measure.ts'
import { byteTopic, fresh, partitions } from '../records.ts'
import { Worker } from '../worker/index.ts'
import { flood, offer, Results } from './load.ts'

interface Sizes {
  /** Records of the runs that find out how many go through in a second. */
  readonly flood: number
  /** Seconds of a run at a steady rate; the first fifth is not timed. */
  readonly seconds: number
  readonly runs: number
}

/** Two billion a day. */
const sustainedRate = 23_148
const guarantees: readonly Guarantee[] = ['at-least-once', 'exactly-once']

/**
 * From the moment when a record was to be sent to the moment when its result was read, through one processor in a process of
 * its own, at half the rate that goes through, and at two billion records a day.
 */
export const latency: Bench = {
  figures: [
    ...['file', 'kafka'].flatMap(broker => guarantees.map(guarantee => `${broker} ${guarantee}`)),
    'kafka sustained 23,148 records/s'
  ],
  async run(wanted, quick, skip) {
    const sizes = quick ? { flood: 20_000, seconds: 5, runs: 1 } : { flood: 300_000, seconds: 30, runs: 3 }
    const amounts: Amount[] = []
    if (guarantees.some(guarantee => wanted(`latency file ${guarantee}`))) {
      const folder = await mkdtemp(join(tmpdir(), 'tidemark-latency-'))
      try {
        amounts.push(...(await halfLoad('file', `file:${folder}`, sizes, wanted)))
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    }
    const kafka = this.figures.map(figure => `latency ${figure}`).filter(name => name.includes('kafka') && wanted(name))
    if (kafka.length === 0) return amounts
    const reason = await kafkaAvailable()
    if (reason) {
      for (const name of kafka) skip(name, reason)
      return amounts
    }
    await using server = await startKafka({ heap: '768m' })
    amounts.push(...(await halfLoad('kafka', server.url, sizes, wanted)))
    const sustained = 'latency kafka sustained 23,148 records/s'
    if (wanted(sustained)) amounts.push(...(await sustain(sustained, server.url, quick ? 20 : 600)))
    return amounts
  }
}

async function halfLoad(
  broker: string,
  url: string,
  { flood: records, seconds, runs }: Sizes,
  wanted: (name: string) => boolean
): Promise<Amount[]> {
  const amounts: Amount[] = []
  for (const guarantee of guarantees) {
    const name = `latency ${broker} ${guarantee}`
    if (!wanted(name)) continue
    const most = await capacity(url, guarantee, records)
    const rate = Math.round(most / 2)
    progress(`${name}: ${thousands(most)} records/s go through`)
    const measured: Results[] = []
    for (let run = 1; run <= runs; run++) {
      measured.push(await steady(url, guarantee, rate, seconds))
      progress(`${name} ${run}/${runs}: ${shown(measured.at(-1)!)}`)
    }
    amounts.push(...percentiles(name, measured, rate))
  }
  return amounts
}

async function sustain(name: string, url: string, seconds: number): Promise<Amount[]> {
  const results = await steady(url, 'exactly-once', sustainedRate, seconds)
  progress(`${name}: ${shown(results)}`)
  return percentiles(name, [results], sustainedRate)
}

/** Records per second from the first sent to the last read, all three at work on this machine. */
async function capacity(url: string, guarantee: Guarantee, records: number): Promise<number> {
  return through(url, guarantee, 2 * records, 0, async (client, from, results) => {
    await flood(client, from, 0, records)
    while (results.count < records) await new Promise(resolve => setTimeout(resolve, 2))
    const start = performance.now()
    await flood(client, from, records, 2 * records)
    return () => records / ((performance.now() - start) / 1e3)
  })
}

async function steady(url: string, guarantee: Guarantee, rate: number, seconds: number): Promise<Results> {
  const total = rate * seconds
  return through(url, guarantee, total, Math.min(total * 0.2, rate * 30), async (client, from, results) => {
    await offer(client, from, rate, total)
    return () => results
  })
}

/** @param load gives what is called when all results have come */
async function through<Result>(
  url: string,
  guarantee: Guarantee,
  total: number,
  timedFrom: number,
  load: (client: Client, from: ReturnType<typeof byteTopic>, results: Results) => Promise<() => Result>
): Promise<Result> {
  await using client = await connect({ brokers: { default: url }, variables: {} })
  const [from, to] = [byteTopic(fresh('in')), byteTopic(fresh('out'))]
  await client.admin.create(from)
  await client.admin.create(to)
  await using worker = new Worker({
    ...{ url, name: fresh('run'), topics: [from.name, to.name], partitions, stateful: false, guarantee }
  })
  await worker.assigned(partitions)
  const results = new Results(total, timedFrom)
  const enough = new AbortController()
  const reading = results.read(client, to, fresh('results'), enough.signal)
  // Whoever fails first is heard; the other must not be left over.
  reading.catch(() => {})
  const done = await Promise.race([load(client, from, results), reading.then(() => new Promise<never>(() => {}))])
  const late = setTimeout(() => enough.abort(), 60_000)
  await reading
  clearTimeout(late)
  const result = done()
  if (guarantee === 'exactly-once' && results.repeats > 0)
    throw new Error(`${results.repeats} results came twice, exactly once`)
  await worker.stop()
  return result
}

function percentiles(name: string, runs: readonly Results[], rate: number): Amount[] {
  return [50, 99, 99.9].map(percentile => ({
    name: `${name}, p${percentile}`,
    amount: spread(runs.map(({ latencies }) => latencies.percentile(percentile) / 1e3)),
    unit: `ms at ${thousands(rate)}/s`,
    records: runs[0]!.count
  }))
}

function shown({ latencies }: Results): string {
  return [50, 99, 99.9].map(each => `p${each} ${(latencies.percentile(each) / 1e3).toFixed(1)} ms`).join(', ')
}
