import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { decodeStamp, encodeStamp } from '../../src/core/stamp.ts'
import { decodeVitals, encodeVitals, noCounts, PartitionTracker, TopicMembership } from '../../src/watermark/index.ts'
import type { Vitals } from '../../src/watermark/index.ts'
import { spread, type Amount } from '../measure.ts'

const producers = 1_000
const partitions = 64
const start = 1_700_000_000_000

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Everything that is alive, in bytes, buffers included. */
async function held(): Promise<number> {
  for (let times = 0; times < 3; times++) {
    collect()
    await new Promise(resolve => setImmediate(resolve))
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** What one process knows that reads all partitions: the reports of all producers, as they came, and a tracker for each partition. */
interface Known {
  readonly reports: Map<string, Vitals>
  readonly membership: TopicMembership
  readonly trackers: readonly PartitionTracker[]
}

const idOf = (producer: number): string => Buffer.from(`${producer}`.padStart(32, '0'), 'hex').toString('latin1')

function reportOf(producer: number, sequence: number): Vitals {
  const watermark = start + sequence
  const last = new Map(Array.from({ length: partitions }, (_, partition) => [partition, sequence]))
  const task = `pipeline/stage/${producer}`
  const upstream = {
    'pipeline/source': { at: start, tasks: 1, silent: 0, pending: 0, failureRate: 0, late: 0, parked: 0 }
  }
  const health = { at: start, every: 1_000, pending: 0, failureRate: 0, upstream }
  const outputs = new Map([['topic', { watermark, last, sent: { every: 60_000, spans: { [start]: [sequence] } } }]])
  const all = { producer: idOf(producer), task, durable: true, state: 'active' as const, watermark, outputs, health }
  // Over the wire, as a reader has it.
  return decodeVitals(encodeVitals({ ...all, counts: noCounts, commit: sequence, beat: sequence }))
}

/** Every producer has written to every partition; one record of each has overtaken the one before it, and a report runs ahead. */
function learnAll(): Known {
  const reports = new Map<string, Vitals>()
  const membership = new TopicMembership()
  const trackers = Array.from({ length: partitions }, (_, partition) => new PartitionTracker(partition, 0))
  for (let producer = 0; producer < producers; producer++) {
    const report = reportOf(producer, 10)
    reports.set(report.task, report)
    membership.report(report, 'topic', 0)
  }
  membership.markComplete()
  for (let producer = 0; producer < producers; producer++)
    for (const tracker of trackers)
      for (const sequence of [1, 2, 4]) {
        const stamp = encodeStamp(idOf(producer), sequence, start + sequence, start + sequence - 1, false)
        tracker.processed(decodeStamp(stamp))
      }
  for (const tracker of trackers) tracker.learn(membership)
  return { reports, membership, trackers }
}

/** @param runs each from the start */
export async function benchTracked(runs: number): Promise<Amount[]> {
  const measured: number[] = []
  for (let run = 0; run < runs; run++) {
    const before = await held()
    const known = learnAll()
    measured.push(((await held()) - before) / 2 ** 20)
    const [tracker] = known.trackers
    if (known.reports.size !== producers || tracker!.watermark !== start + 1)
      throw new Error(`the trackers are at ${tracker!.watermark}, not at ${start + 1}`)
  }
  const name = 'watermark memory, 1,000 producers x 64 partitions'
  return [{ name, unit: 'MiB', amount: spread(measured), records: producers * partitions }]
}
