import assert from 'node:assert/strict'
import { systemEnvironment } from '../../../core/environment.ts'
import { ensureGroup, groupName } from '../../../pipeline/index.ts'
import type { CaseContext } from '../context.ts'
import type { ConformanceCase } from '../types.ts'
import { Bank, commitInterval, type CommitPoint } from './bank.ts'
import { atEachCommitPoint } from './commit-points.ts'
import { Hops, lateness, Sensor } from './hops.ts'

const partitions = 3
/** How long the stopped producer stands still, ms. */
const standstill = 1_500
/** So much longer than without a fault, and a commit for each hop, a watermark may take once the fault has ended, ms. */
const bound = 2_000

async function watermarks(context: CaseContext, commitIn: CommitPoint): Promise<void> {
  const bank = new Bank(context, commitIn)
  const hops = new Hops(context.name('hops'), partitions)
  const readings = await bank.bind(hops.readings)
  // A queue keeps nothing for readers that it does not know.
  await ensureGroup(readings.adapter, systemEnvironment, groupName(hops.front.name, 'shuffle'), hops.readings.name)
  const [back, front] = [await bank.work(hops.back), await bank.work(hops.front)]
  const steady = context.keep(await Sensor.open('steady', readings))
  const stopped = context.keep(await Sensor.open('stopped', readings))
  const stillRuns = Promise.all([back.ended, front.ended])
  const send = async (...sensors: readonly Sensor[]): Promise<void> => {
    await Promise.race([Promise.all(sensors.map(sensor => sensor.send())), stillRuns])
    await context.sleep(10)
  }
  /** How long it takes until the second hop is told of the present, ms. */
  const reach = async (when: string): Promise<number> => {
    const [time, began] = [systemEnvironment.now() - lateness, systemEnvironment.monotonic()]
    for (const deadline = context.deadline(); hops.least('collect') < time; await send(steady, stopped)) {
      const where = `the second hop is at ${hops.least('collect')}, the first at ${hops.least('shuffle')}`
      assert.ok(systemEnvironment.monotonic() < deadline, `${when}: waited in vain for ${time}, ${where}`)
    }
    return systemEnvironment.monotonic() - began
  }

  await reach('at the start')
  // What a busy machine takes is no fault of the watermark.
  let usual = 0
  for (let times = 0; times < 3; times++) usual = Math.max(usual, await reach('before the fault'))

  stopped.stop()
  for (const until = systemEnvironment.monotonic() + standstill; systemEnvironment.monotonic() < until;)
    await send(steady)
  assert.ok(hops.most <= stopped.promised, `a producer stands still at ${stopped.promised}, and ${hops.most} was told`)

  stopped.goOn()
  const took = await reach('after the fault')
  const allowed = context.paced(bound) + 2 * commitInterval + usual
  const times = `${Math.round(took)} ms; without a fault it takes ${Math.round(usual)}, and ${Math.round(allowed)} are allowed`
  assert.ok(took <= allowed, `the watermark was back after ${times}`)

  await Promise.all([steady.close(), stopped.close()])
  const sent = new Set([...steady.sent, ...stopped.sent])
  for (const deadline = context.deadline(); hops.heard('collect').size < sent.size; await context.sleep(20))
    assert.ok(systemEnvironment.monotonic() < deadline, `${hops.heard('collect').size} of ${sent.size} readings came`)
  await Promise.all([front.stop(), back.stop()])
  hops.check(sent)
}

/** Two producers, three partitions, two hops, one of which mixes the order. */
export const watermarkCases: readonly ConformanceCase[] = atEachCommitPoint(
  'pipeline',
  'a producer stands still: no watermark is ever ahead of the truth, and it is back in time',
  watermarks
  // It has a time to keep.
).map(each => ({ ...each, exclusive: true }))
