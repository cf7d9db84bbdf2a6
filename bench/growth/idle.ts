import { connect } from '../../src/index.ts'
import { progress, spread, type Amount } from '../measure.ts'
import { byteTopic, fresh } from '../records.ts'
import { Worker } from '../worker/index.ts'
import type { GrowthSizes } from './index.ts'

const [few, many] = [4, 256]

/** KiB that a worker has more for each partition that it holds and that has no records, its output and its producer included. */
export async function idle(
  broker: string,
  url: string,
  { runs }: GrowthSizes,
  wanted: (name: string) => boolean
): Promise<Amount[]> {
  const name = `growth ${broker} idle partition`
  if (!wanted(name)) return []
  const each: number[] = []
  const resident: number[] = []
  for (let run = 1; run <= runs; run++) {
    const [small, large] = [await held(url, few), await held(url, many)]
    each.push((large.used - small.used) / (many - few) / 1_024)
    resident.push((large.resident - small.resident) / (many - few) / 1_024)
    progress(`${name} ${run}/${runs}: ${each.at(-1)!.toFixed(1)} KiB, ${resident.at(-1)!.toFixed(1)} KiB resident`)
  }
  return [
    { name, amount: spread(each), unit: 'KiB', records: many },
    { name: `${name}, resident`, amount: spread(resident), unit: 'KiB', records: many }
  ]
}

async function held(url: string, partitions: number): Promise<{ readonly used: number; readonly resident: number }> {
  await using client = await connect({ brokers: { default: url }, variables: {} })
  const topics = [fresh('idle'), fresh('idle')]
  // The memory broker is in the worker's own process: there the run makes the topics.
  if (!url.startsWith('memory:')) for (const topic of topics) await client.admin.create(byteTopic(topic, partitions))
  await using worker = new Worker({
    ...{ url, name: fresh('run'), topics, partitions, stateful: true, guarantee: 'exactly-once' }
  })
  await worker.assigned(partitions)
  // What starting left behind is collected, and a few reports have been made.
  await new Promise(resolve => setTimeout(resolve, 3_000))
  await worker.memory()
  const { heap, outside, resident } = await worker.memory()
  await worker.stop()
  return { used: heap + outside, resident }
}
