/** `node worker.ts JOB`: one worker of the pipeline whose take-over is timed. */
import { fileURLToPath } from 'node:url'
import { bytes, connect, keyed, number, pipeline, processor } from '../../src/index.ts'
import { byteTopic } from '../records.ts'

/** ms */
export const session = 2_000

export interface TakeOverJob {
  readonly folder: string
  readonly name: string
  readonly from: string
  readonly to: string
}

async function work({ folder, name, from, to }: TakeOverJob): Promise<void> {
  const client = await connect({ brokers: { default: `file:${folder}` }, variables: {} })
  const count = processor({
    name: 'count',
    from: byteTopic(from),
    to: byteTopic(to),
    state: { count: keyed(number, 0), last: keyed(bytes) },
    process({ key, value }, { state }) {
      state.count.set(state.count.get() + 1)
      state.last.set(value)
      return { key, value }
    }
  })
  await client.run(pipeline(name, [count]), { sessionTimeout: session, commitInterval: 100 })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await work(JSON.parse(process.argv[2]!) as TakeOverJob)
