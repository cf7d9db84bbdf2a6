import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '../src/index.ts'
import { allocated } from './allocation.ts'
import { alone, progress, spread, type Amount, type Figure, type Run } from './measure.ts'
import { consume, process, produce } from './ours.ts'
import { byteTopic, fresh } from './records.ts'

/** The core with the memory adapter: what the pipeline itself costs, state included. */
export async function benchMemory(
  records: number,
  runs: number,
  wanted: (name: string) => boolean
): Promise<(Figure | Amount)[]> {
  const [counting, allocation] = ['memory exactly-once, with state', 'memory allocation per record, with state']
  const figures: (Figure | Amount)[] = []
  const filled = async (work: (run: () => Promise<Run>) => Promise<Run>): Promise<Run> => {
    await using client = await connect({ brokers: { default: 'memory:' }, variables: {} })
    const [from, to] = [byteTopic(fresh('in')), byteTopic(fresh('out'))]
    await produce(client, from, records)
    return await work(() => process(client, from, to, records, true))
  }
  if (wanted(counting)) figures.push(await alone(counting, runs, () => filled(run => run())))
  if (wanted(allocation)) figures.push(await perRecord(allocation))
  return figures

  async function perRecord(name: string): Promise<Amount> {
    const sampled: number[] = []
    for (let turn = 1; turn <= runs; turn++)
      await filled(async run => {
        let done: Run | undefined
        const { bytes, top } = await allocated(async () => (done = await run()), 8)
        sampled.push(bytes / records)
        progress(`${name} ${turn}/${runs}: ${sampled.at(-1)!.toFixed(0)} bytes`)
        if (turn === runs)
          for (const [place, own] of top) progress(`  ${(own / records).toFixed(0).padStart(5)} ${place}`)
        return done!
      })
    return { name, amount: spread(sampled), unit: 'bytes', records }
  }
}

/** The embedded log, on the disk that holds the folder for temporary files. */
export async function benchFile(records: number, runs: number, wanted: (name: string) => boolean): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'))
  const figures: Figure[] = []
  try {
    await using client = await connect({ brokers: { default: `file:${folder}` }, variables: {} })
    const from = byteTopic(fresh('in'))
    const names = ['file produce', 'file consume', 'file exactly-once'].filter(wanted)
    const produced = await alone('file produce', names.includes('file produce') ? runs : 1, () =>
      produce(client, byteTopic(fresh('produce')), records)
    )
    if (names.includes('file produce')) figures.push(produced)
    if (names.length === 1 && names[0] === 'file produce') return figures
    await produce(client, from, records)
    if (names.includes('file consume'))
      figures.push(await alone('file consume', runs, () => consume(client, from, records)))
    if (names.includes('file exactly-once'))
      figures.push(
        await alone('file exactly-once', runs, () => process(client, from, byteTopic(fresh('out')), records, false))
      )
    return figures
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
