import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type Client, type ConnectOptions } from '../../src/index.ts'
import { LoopDelay } from '../loop-delay.ts'
import { alone, sideBySide, spread, type Figure, type Run } from '../measure.ts'
import { process, produce } from '../ours.ts'
import { byteTopic, fresh } from '../records.ts'
import { restore } from './restore.ts'
import { takeOver } from './take-over.ts'

export interface ExactlyOnceSizes {
  readonly records: number
  readonly keys: number
  readonly runs: number
}

/** What it costs to be exact, on brokers that are in this process, so that nothing else is measured. */
export async function benchExactlyOnce(
  { records, keys, runs }: ExactlyOnceSizes,
  wanted: (name: string) => boolean
): Promise<Figure[]> {
  const figures: Figure[] = []
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'))
  const against = async (name: string, broker: () => string): Promise<void> => {
    if (!wanted(name)) return
    const run = (guarantee: 'exactly-once' | 'at-least-once') => () =>
      through({ brokers: { default: broker() } }, records, guarantee)
    figures.push(await sideBySide(name, runs, run('exactly-once'), run('at-least-once')))
  }
  try {
    await against('exactly-once memory, against at-least-once', () => 'memory:')
    await against('exactly-once file, against at-least-once', () => `file:${join(folder, fresh('log'))}`)
    const store = 'exactly-once sqlite store, memory broker'
    if (wanted(store)) {
      const delays: number[] = []
      const figure = await alone(store, runs, async () => {
        const delay = new LoopDelay()
        const options = { brokers: { default: 'memory:' }, store: `sqlite:${join(folder, fresh('commits'))}.db` }
        const run = await through(options, records, 'exactly-once', delay)
        delays.push(delay.p99)
        return run
      })
      figures.push({ ...figure, delay: spread(delays) })
    }
    const restored = 'exactly-once restore, sqlite store'
    if (wanted(restored)) figures.push(await restore(restored, join(folder, `${fresh('state')}.db`), keys, runs))
    const taken = 'exactly-once take-over after a crash, session of 2 s'
    if (wanted(taken)) figures.push(await takeOver(taken, join(folder, fresh('take-over')), runs))
    return figures
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function through(
  options: ConnectOptions,
  records: number,
  guarantee: 'exactly-once' | 'at-least-once',
  delay?: LoopDelay
): Promise<Run> {
  await using client: Client = await connect({ ...options, variables: {} })
  const [from, to] = [byteTopic(fresh('in')), byteTopic(fresh('out'))]
  await produce(client, from, records)
  return await process(client, from, to, records, true, { guarantee, ...(delay && { delay }) })
}
