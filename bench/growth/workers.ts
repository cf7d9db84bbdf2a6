import { connect } from '../../src/index.ts'
import { Clock, type Run } from '../measure.ts'
import { produce, recount, waitForOutput } from '../ours.ts'
import { byteTopic, fresh } from '../records.ts'
import { Worker } from '../worker/index.ts'

const partitions = 16

/**
 * So many processes share a pipeline with state. The clock goes from the moment when each has its tasks and the first records are sent
 * until all outputs are there: the sender works beside them on the same machine.
 */
export async function workers(url: string, records: number, count: number): Promise<Run> {
  await using client = await connect({ brokers: { default: url }, variables: {} })
  const [from, to] = [byteTopic(fresh('in'), partitions), byteTopic(fresh('out'), partitions)]
  await client.admin.create(from)
  await client.admin.create(to)
  const job = {
    ...{ url, name: fresh('run'), topics: [from.name, to.name], partitions, stateful: true },
    guarantee: 'exactly-once' as const
  }
  const running = Array.from({ length: count }, () => new Worker(job))
  try {
    // A worker that has had tasks may have given some away since; each has its share when none is without.
    for (const worker of running) await worker.assigned(1)
    const [clock, before] = [new Clock(), await cpu(running)]
    clock.start()
    await produce(client, from, records)
    await waitForOutput(client, to, records)
    clock.stop(records)
    const cpuSeconds = (await cpu(running)) - before
    for (const worker of running) await worker.stop()
    await recount(client, to, records, false)
    return { ...clock.run, cpuSeconds }
  } finally {
    for (const worker of running) await worker.kill()
  }
}

async function cpu(running: readonly Worker[]): Promise<number> {
  const times = await Promise.all(running.map(worker => worker.cpuSeconds()))
  return times.reduce((sum, time) => sum + time, 0)
}
