import { aggregate, bytes, number, pipeline, topic, tumbling, type Client, type Topic } from '../../src/index.ts'
import { Clock, type Run } from '../measure.ts'
import { runThrough, waitForOutput } from '../ours.ts'
import { byteTopic, fresh, inBatches, partitions, recordAt } from '../records.ts'

const minute = 60_000
/** Event time that the records of a run are spread over, ms. */
const span = 20 * minute
/** Every tenth record is late by up to so much, ms, and the topic waits for it. */
const lateness = 30_000
const keys = 1_000
/** Records behind the last window, of each partition: a stamp tells of the records before it. */
const closing = 2

/** The event time of record `index`: before now, so that none is refused as one of the future. */
function eventTime(index: number, count: number, start: number): number {
  const inOrder = start + Math.floor((index / count) * span)
  return index % 10 === 9 ? Math.max(start, inOrder - ((index * 7_919) % lateness)) : inOrder
}

/** The windows that come out, by key and start: how many, and that of each the count is right. */
function expected(count: number, start: number): Map<string, number> {
  const windows = new Map<string, number>()
  for (let index = 0; index < count; index++) {
    const time = eventTime(index, count, start)
    const name = `${recordAt(index, { keys }).key.toString()} ${time - (time % minute)}`
    windows.set(name, (windows.get(name) ?? 0) + 1)
  }
  return windows
}

/** Records of 20 minutes of event time, a tenth of them out of order, and the records that close the last windows. */
export async function fillWindows(
  client: Client,
  count: number
): Promise<{ readonly from: Topic<string, Uint8Array, Uint8Array>; readonly start: number }> {
  const from = topic(fresh('events'), { key: bytes, value: bytes, partitions, lateness })
  await client.admin.create(from)
  const start = Date.now() - (Date.now() % minute) - 2 * span
  const producer = await client.producer(from)
  await inBatches(count, (first, to) =>
    producer.sendAll(
      Array.from({ length: to - first }, (_, at) => ({
        ...recordAt(first + at, { keys }),
        eventTime: eventTime(first + at, count, start)
      }))
    )
  )
  // Later records on each partition close the windows before them: a topic has no end, whoever has left.
  for (let later = 1; later <= closing; later++)
    await producer.sendAll(
      Array.from({ length: partitions }, (_, partition) => {
        return { ...recordAt(0), partition, eventTime: start + span + later * (minute + lateness) }
      })
    )
  await producer.close()
  return { from, start }
}

/** Counts per key and minute, from the first record until every window is in the output topic; then the windows are counted again. */
export async function windows(
  client: Client,
  { from, start }: Awaited<ReturnType<typeof fillWindows>>,
  count: number
): Promise<Run> {
  const to = byteTopic(fresh('windows'))
  await client.admin.create(to)
  const clock = new Clock()
  const stage = aggregate({
    name: 'count',
    from,
    to,
    window: tumbling(minute),
    accumulator: number,
    init: () => 0,
    add(before) {
      clock.start()
      return before + 1
    },
    result: ({ key, value, window }) => ({ key, value: Buffer.from(`${window.start} ${value}`) })
  })
  const right = expected(count, start)
  await runThrough(client, pipeline(fresh('windows'), [stage]), count + closing * partitions, {
    async onCommitted() {
      await waitForOutput(client, to, right.size)
      clock.stop(count)
    }
  })
  let seen = 0
  for await (const records of client
    .consumer(to, { group: fresh('recount'), signal: AbortSignal.timeout(60_000) })
    .batches()) {
    for (const { key, value } of records) {
      const [windowStart, counted] = Buffer.from(value).toString().split(' ')
      const name = `${Buffer.from(key).toString()} ${windowStart}`
      if (right.get(name) !== Number(counted))
        throw new Error(`window ${name}: counted ${counted}, right is ${right.get(name)}`)
    }
    if ((seen += records.length) >= right.size) break
  }
  if (seen !== right.size) throw new Error(`${right.size} windows were due, ${seen} came`)
  return clock.run
}
