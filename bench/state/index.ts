import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '../../src/index.ts'
import { kafkaAvailable, startKafka } from '../../testcontainers/kafka.ts'
import type { Bench } from '../bench.ts'
import { rawKafka } from '../kafka/raw.ts'
import { alone, progress, sideBySide, type Run } from '../measure.ts'
import { process, produce } from '../ours.ts'
import type { Measured } from '../report.ts'
import { byteTopic, fresh } from '../records.ts'
import { fillKeys, loadMap, loadState } from './load.ts'
import { recovery, takenOver } from './recovery.ts'
import { fillWindows, windows } from './window.ts'

const counts = [100_000, 1_000_000] as const
const counting = (keys: number): string => `count of ${keys.toLocaleString('en-US')} keys`
const windowed = 'window of a minute, a tenth out of order'
const taken = (standby: boolean): string =>
  `kafka take-over of 1,000,000 keys, session of 2 s, ${standby ? 'with' : 'without'} standby`
const recovered = 'recovery of 100,000 rows, session of 2 s'

interface Sizes {
  readonly records: number
  readonly rows: number
  readonly keysPerRow: number
  readonly runs: number
}

/** What is kept per key: counts, windows of event time, loading, and how long it is gone after a crash. */
export const state: Bench = {
  figures: [
    ...['memory', 'file'].flatMap(broker => [...counts.map(counting), windowed].map(figure => `${broker} ${figure}`)),
    `file ${recovered}`,
    `kafka ${windowed}`,
    'kafka load of 1,000,000 records',
    'kafka restore of 1,000,000 rows',
    `kafka ${recovered}`,
    taken(false),
    taken(true)
  ],
  async run(wanted, quick, skip) {
    const sizes: Sizes = quick
      ? { records: 50_000, rows: 50_000, keysPerRow: 0.1, runs: 1 }
      : { records: 500_000, rows: 1_000_000, keysPerRow: 1, runs: 5 }
    const figures: Measured[] = []
    figures.push(...(await broker('memory', 'memory:', sizes, wanted)))
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'))
    try {
      figures.push(...(await broker('file', `file:${folder}`, sizes, wanted)))
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
    const onKafka = this.figures.map(figure => `state ${figure}`).filter(name => name.includes('kafka') && wanted(name))
    if (onKafka.length === 0) return figures
    const reason = await kafkaAvailable()
    if (reason) {
      for (const name of onKafka) skip(name, reason)
      return figures
    }
    await using server = await startKafka({ heap: '768m' })
    figures.push(...(await broker('kafka', server.url, sizes, wanted)))
    figures.push(...(await loading(server.url, sizes, wanted)))
    for (const standby of [false, true]) {
      const figure = `state ${taken(standby)}`
      if (wanted(figure)) figures.push(...(await takenOver(figure, server.url, sizes.rows, sizes.runs, standby)))
    }
    return figures
  }
}

async function broker(
  name: 'memory' | 'file' | 'kafka',
  url: string,
  { records, keysPerRow, runs }: Sizes,
  wanted: (name: string) => boolean
): Promise<Measured[]> {
  const figures: Measured[] = []
  const open = (): ReturnType<typeof connect> => connect({ brokers: { default: url }, variables: {} })
  for (const keys of name === 'kafka' ? [] : counts) {
    const figure = `state ${name} ${counting(keys)}`
    if (!wanted(figure)) continue
    const distinct = keys * keysPerRow
    figures.push(
      await alone(figure, runs, async () => {
        await using client = await open()
        const [from, to] = [byteTopic(fresh('in')), byteTopic(fresh('out'))]
        const count = Math.max(records, distinct)
        await produce(client, from, count, { keys: distinct })
        return await process(client, from, to, count, true, { keys: distinct })
      })
    )
  }
  const figure = `state ${name} ${windowed}`
  if (wanted(figure))
    figures.push(
      await alone(figure, runs, async () => {
        await using client = await open()
        return await windows(client, await fillWindows(client, records), records)
      })
    )
  const killed = `state ${name} ${recovered}`
  if (name !== 'memory' && wanted(killed)) figures.push(...(await recovery(killed, url, 100_000 * keysPerRow, runs)))
  return figures
}

async function loading(url: string, { rows, runs }: Sizes, wanted: (name: string) => boolean): Promise<Measured[]> {
  const names = ['state kafka load of 1,000,000 records', 'state kafka restore of 1,000,000 rows'] as const
  if (!names.some(wanted)) return []
  await using client = await connect({ brokers: { default: url }, variables: {} })
  const kafka = await rawKafka(new URL(url).host)
  const restores: Run[] = []
  const maps: Run[] = []
  progress('state kafka load: filling a topic')
  const theirs = await fillKeys(client, rows)
  const raw = async (): Promise<Run> => {
    maps.push(await loadMap(kafka, theirs.name, rows))
    return maps.at(-1)!
  }
  const load = await sideBySide(
    names[0],
    runs,
    async () => {
      const loaded = await loadState(client, await fillKeys(client, rows), rows)
      restores.push(loaded.restore)
      return loaded.load
    },
    raw
  )
  const [nextRestore, nextMap] = [restores.values(), maps.values()]
  const restore = await sideBySide(
    names[1],
    runs,
    async () => nextRestore.next().value!,
    async () => nextMap.next().value!
  )
  return [load, restore].filter(({ name }) => wanted(name))
}
