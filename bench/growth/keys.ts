import { connect } from '../../src/index.ts'
import { alone, Clock, spread, type Amount, type Figure, type Run } from '../measure.ts'
import { produce, waitForOutput } from '../ours.ts'
import { byteTopic, fresh, partitions } from '../records.ts'
import { Worker } from '../worker/index.ts'

/**
 * Counts under so many keys, each of which comes at least once, in a process of its own, of which the most memory is told, too.
 * State beyond 256 MiB is read from the store. The clock starts when the worker has its tasks.
 */
export async function keys(
  name: string,
  url: string,
  records: number,
  distinct: number,
  runs: number
): Promise<(Figure | Amount)[]> {
  await using client = await connect({ brokers: { default: url }, variables: {} })
  const count = Math.max(records, distinct)
  const from = byteTopic(fresh('in'))
  await client.admin.create(from)
  await produce(client, from, count, { keys: distinct })
  const peaks: number[] = []
  const once = async (): Promise<Run> => {
    const to = byteTopic(fresh('out'))
    await client.admin.create(to)
    await using worker = new Worker({
      ...{
        url,
        name: fresh('run'),
        topics: [from.name, to.name],
        partitions,
        stateful: true,
        guarantee: 'exactly-once'
      }
    })
    await worker.assigned(partitions)
    const [clock, before] = [new Clock(), await worker.cpuSeconds()]
    clock.start()
    await waitForOutput(client, to, count)
    clock.stop(count)
    const cpuSeconds = (await worker.cpuSeconds()) - before
    peaks.push((await worker.memory()).peak / 2 ** 20)
    await worker.stop()
    return { ...clock.run, cpuSeconds }
  }
  // The largest takes minutes.
  const figure = await alone(name, distinct > 1_000_000 ? 1 : runs, once)
  return [
    { ...figure, at: { axis: 'keys', value: distinct } },
    { name: `${name}, most memory`, amount: spread(peaks), unit: 'MiB', records: count }
  ]
}
