import { setTimeout as sleep } from 'node:timers/promises'
import type { Kafka } from 'kafkajs'

const every = 4
const quiet = 1_000
const patience = 600_000

/**
 * Waits until `count` records are committed in a topic, seen from outside, and gives the time (`performance.now()`) when the last
 * of them were: the last time that the committed end of a partition moved before it stood still for a second. Markers of
 * transactions move it, too, so its height alone does not tell.
 */
export async function committedEnd(kafka: Kafka, topic: string, count: number): Promise<number> {
  const admin = kafka.admin()
  await admin.connect()
  const start = performance.now()
  try {
    let [end, moved] = [-1, start]
    for (;;) {
      const now = performance.now()
      // Without a word about isolation these are the ends of what is committed.
      const offsets = await admin.fetchTopicOffsets(topic)
      const sum = offsets.reduce((total, { high }) => total + Number(high), 0)
      if (sum !== end) [end, moved] = [sum, now]
      else if (end >= count && now - moved > quiet) return moved
      if (now - start > patience) throw new Error(`'${topic}' holds ${end} committed records of ${count}`)
      await sleep(every)
    }
  } finally {
    await admin.disconnect()
  }
}
