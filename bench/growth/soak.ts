import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/index.ts'
import { offer, Results } from '../latency/load.ts'
import { progress, spread, type Amount } from '../measure.ts'
import { byteTopic, fresh, partitions } from '../records.ts'
import { Worker, type WorkerMemory } from '../worker/index.ts'

/** Records per second: far from what the machine can do, so that memory that grows is a leak and not a queue. */
const rate = 5_000
/** Looks at the memory of a run. */
const looks = 40

/**
 * A worker with state under a steady load, exactly once: by how much its memory is larger in the last quarter of the time than in
 * the second, in percent. The first quarter is for state and caches to fill.
 */
export async function soak(name: string, url: string, seconds: number): Promise<Amount[]> {
  await using client = await connect({ brokers: { default: url }, variables: {} })
  const [from, to] = [byteTopic(fresh('in')), byteTopic(fresh('out'))]
  await client.admin.create(from)
  await client.admin.create(to)
  await using worker = new Worker({
    ...{ url, name: fresh('run'), topics: [from.name, to.name], partitions, stateful: true, guarantee: 'exactly-once' }
  })
  await worker.assigned(partitions)
  const total = rate * seconds
  const results = new Results(total, total * 0.25)
  const reading = results.read(client, to, fresh('results'), AbortSignal.timeout((seconds + 120) * 1e3))
  reading.catch(() => {})
  const offering = offer(client, from, rate, total)
  offering.catch(() => {})
  const memory: WorkerMemory[] = []
  for (let look = 1; look <= looks; look++) {
    await sleep((seconds / looks) * 1e3)
    memory.push(await worker.memory())
    const { heap, outside, resident } = memory.at(-1)!
    if (look % (looks / 4) === 0)
      progress(`${name} ${look}/${looks}: ${mebibytes(heap + outside)} MiB used, ${mebibytes(resident)} MiB resident`)
  }
  await offering
  await reading
  if (results.repeats > 0) throw new Error(`${results.repeats} results came twice, exactly once`)
  const grown = (size: (look: WorkerMemory) => number): number => {
    const quarter = (index: number): number =>
      spread(memory.slice((index * looks) / 4, ((index + 1) * looks) / 4).map(size)).median
    return (quarter(3) / quarter(1) - 1) * 100
  }
  const used = ({ heap, outside }: WorkerMemory): number => heap + outside
  const amount = (what: string, value: number, unit: string): Amount => ({
    ...{ name: `${name}, ${what}`, amount: spread([value]), unit, records: total }
  })
  return [
    amount('memory used, growth', grown(used), '%'),
    amount(
      'memory resident, growth',
      grown(({ resident }) => resident),
      '%'
    ),
    amount('memory used', spread(memory.map(used)).median / 2 ** 20, 'MiB'),
    amount('latency p99', results.latencies.percentile(99) / 1e3, `ms at ${rate}/s`)
  ]
}

const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1)
