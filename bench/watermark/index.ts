import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '../../src/index.ts'
import { progress, spread, type Amount, type Figure } from '../measure.ts'
import { process, produce } from '../ours.ts'
import { byteTopic, fresh } from '../records.ts'
import { benchTracked } from './memory.ts'
import { profiled } from './profile.ts'
import { benchStamp } from './stamp.ts'
import { benchVitals, disasters } from './vitals.ts'

export interface WatermarkSizes {
  readonly stamped: number
  readonly profiled: number
  readonly destroyed: number
  readonly runs: number
}

const memory = 'watermark memory, 1,000 producers x 64 partitions'
const stamps = ['', ' with gzip', ' with zstd'].map(how => `watermark stamp, in a batch${how}`)
const shares = ['watermark share of CPU', 'watermark share of CPU, stamps']

/** What watermarks and vitals cost, in bytes, processor time, memory, and when the vitals break. */
export async function benchWatermark(
  sizes: WatermarkSizes,
  wanted: (name: string) => boolean
): Promise<(Figure | Amount)[]> {
  const figures: (Figure | Amount)[] = []
  const take = async (names: readonly string[], measure: () => Promise<readonly Amount[]>): Promise<void> => {
    if (!names.some(wanted)) return
    for (const amount of await measure()) {
      if (!wanted(amount.name)) continue
      progress(`${amount.name}: ${amount.amount.median.toFixed(1)} ${amount.unit}`)
      figures.push(amount)
    }
  }
  await take([memory], () => benchTracked(sizes.runs))
  await take(stamps, () => benchStamp(sizes.stamped))
  await take(shares, () => benchShares(sizes.profiled, sizes.runs))
  for (const disaster of disasters)
    if (wanted(`watermark vitals destroyed, ${disaster}`))
      figures.push(await benchVitals(sizes.destroyed, sizes.runs, disaster))
  return figures
}

/** Of a stateless processor on the embedded log, as in `file exactly-once`. */
async function benchShares(records: number, runs: number): Promise<Amount[]> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'))
  const [watermarks, stamps]: number[][] = [[], []]
  try {
    await using client = await connect({ brokers: { default: `file:${folder}` }, variables: {} })
    const from = byteTopic(fresh('in'))
    await produce(client, from, records)
    for (let run = 0; run < runs; run++) {
      const [, shares] = await profiled(() => process(client, from, byteTopic(fresh('out')), records, false))
      watermarks!.push(shares.watermarks * 100)
      stamps!.push(shares.stamps * 100)
      progress(`watermark share of CPU ${run + 1}/${runs}: ${shares.samples} samples`)
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  const rest = { unit: '%', records }
  return [
    { ...rest, name: 'watermark share of CPU', amount: spread(watermarks!) },
    { ...rest, name: 'watermark share of CPU, stamps', amount: spread(stamps!) }
  ]
}
