import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, pipeline, processor } from '../../src/index.ts'
import { kafkaAvailable, startKafka } from '../../testcontainers/kafka.ts'
import type { Bench } from '../bench.ts'
import { alone, Clock, type Figure, type Run } from '../measure.ts'
import { process, produce, runThrough, waitForOutput } from '../ours.ts'
import type { Measured } from '../report.ts'
import { byteTopic, fresh } from '../records.ts'
import { idle } from './idle.ts'
import { keys } from './keys.ts'
import { soak } from './soak.ts'
import { workers } from './workers.ts'

export interface GrowthSizes {
  readonly records: number
  readonly runs: number
  /** Seconds of the soak. */
  readonly soak: number
  /** Share of the keys. */
  readonly share: number
}

const partitionCounts = [1, 4, 16, 64, 256] as const
const keyCounts = [1_000, 10_000, 100_000, 1_000_000, 10_000_000] as const
const stageCounts = [1, 2, 4, 6] as const
const workerCounts = [1, 2, 4] as const
const brokers = ['memory', 'file', 'kafka'] as const
type Broker = (typeof brokers)[number]

const named = (counts: readonly number[], unit: string): string[] =>
  counts.map(count => `${count.toLocaleString('en-US')} ${unit}${count === 1 ? '' : 's'}`)

/** How rates and memory change with the number of partitions, keys, stages and workers, and with time. */
export const growth: Bench = {
  figures: [
    ...brokers.flatMap(broker =>
      [...named(partitionCounts, 'partition'), ...named(stageCounts, 'stage')].map(name => `${broker} ${name}`)
    ),
    ...named(keyCounts, 'key').map(name => `file ${name}`),
    ...(['file', 'kafka'] as const).flatMap(broker => named(workerCounts, 'worker').map(name => `${broker} ${name}`)),
    ...brokers.map(broker => `${broker} idle partition`),
    'kafka soak'
  ],
  async run(wanted, quick, skip) {
    const sizes: GrowthSizes = quick
      ? { records: 20_000, runs: 1, soak: 20, share: 0.01 }
      : { records: 300_000, runs: 3, soak: 1_200, share: 1 }
    const names = this.figures.map(figure => `growth ${figure}`).filter(wanted)
    const figures: Measured[] = []
    for (const broker of brokers) {
      const own = names.filter(name => name.startsWith(`growth ${broker} `))
      if (own.length === 0) continue
      const reason = broker === 'kafka' ? await kafkaAvailable() : undefined
      if (reason) for (const name of own) skip(name, reason)
      else figures.push(...(await onBroker(broker, sizes, name => own.includes(name))))
    }
    return figures
  }
}

async function onBroker(broker: Broker, sizes: GrowthSizes, wanted: (name: string) => boolean): Promise<Measured[]> {
  if (broker === 'memory') return grown(broker, 'memory:', sizes, wanted)
  if (broker === 'file') {
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-growth-'))
    try {
      return await grown(broker, `file:${folder}`, sizes, wanted)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }
  await using server = await startKafka({ heap: '768m' })
  return await grown(broker, server.url, sizes, wanted)
}

async function grown(
  broker: Broker,
  url: string,
  sizes: GrowthSizes,
  wanted: (name: string) => boolean
): Promise<Measured[]> {
  const { records, runs, share } = sizes
  const measured: Measured[] = []
  const take = async (figure: string, at: Figure['at'], run: () => Promise<Run>): Promise<void> => {
    if (wanted(figure)) measured.push({ ...(await alone(figure, runs, run)), at })
  }
  for (const count of partitionCounts)
    await take(`growth ${broker} ${named([count], 'partition')[0]}`, { axis: 'partitions', value: count }, () =>
      copied(url, records, count)
    )
  for (const count of stageCounts)
    await take(`growth ${broker} ${named([count], 'stage')[0]}`, { axis: 'stages', value: count }, () =>
      chained(url, records, count)
    )
  for (const count of broker === 'file' ? keyCounts : [])
    if (wanted(`growth file ${named([count], 'key')[0]}`))
      measured.push(...(await keys(`growth file ${named([count], 'key')[0]}`, url, records, count * share, runs)))
  if (broker === 'memory') return [...measured, ...(await idle(broker, url, sizes, wanted))]
  for (const count of workerCounts)
    await take(`growth ${broker} ${named([count], 'worker')[0]}`, { axis: 'workers', value: count }, () =>
      workers(url, records, count)
    )
  measured.push(...(await idle(broker, url, sizes, wanted)))
  if (broker === 'kafka' && wanted('growth kafka soak'))
    measured.push(...(await soak('growth kafka soak', url, sizes.soak)))
  return measured
}

async function copied(url: string, records: number, partitions: number): Promise<Run> {
  await using client = await connect({ brokers: { default: url }, variables: {} })
  const [from, to] = [byteTopic(fresh('in'), partitions), byteTopic(fresh('out'), partitions)]
  await client.admin.create(from)
  await client.admin.create(to)
  await produce(client, from, records)
  return await process(client, from, to, records, false)
}

/** Records that come out at the end of so many stages, each with a topic behind it. */
async function chained(url: string, records: number, stages: number): Promise<Run> {
  await using client = await connect({ brokers: { default: url }, variables: {} })
  const topics = Array.from({ length: stages + 1 }, () => byteTopic(fresh('hop')))
  for (const topic of topics) await client.admin.create(topic)
  await produce(client, topics[0]!, records)
  const clock = new Clock()
  const chain = topics.slice(1).map((to, index) =>
    processor({
      name: `stage-${index + 1}`,
      from: topics[index]!,
      to,
      process({ key, value }) {
        clock.start()
        return { key, value }
      }
    })
  )
  await runThrough(client, pipeline(fresh('run'), chain), records * stages, {
    async onCommitted() {
      await waitForOutput(client, topics.at(-1)!, records)
      clock.stop(records)
    }
  })
  return clock.run
}
