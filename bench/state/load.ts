import type { Kafka } from 'kafkajs'
import { bytes, keyed, pipeline, processor, type Client } from '../../src/index.ts'
import { eachBatch } from '../kafka/raw.ts'
import { Clock, type Run } from '../measure.ts'
import { produce, runThrough } from '../ours.ts'
import { byteTopic, entries, fresh, recordAt } from '../records.ts'

type ByteTopic = ReturnType<typeof byteTopic>

/** What was loaded, and how long it took to have it again after a restart. */
export interface Loaded {
  readonly load: Run
  readonly restore: Run
}

/**
 * Takes the newest value of each key into keyed state, exactly once, until all is committed. Then starts again: the time until the
 * first record is handled, which is the time to have the state back, and some values are looked at.
 */
export async function loadState(client: Client, from: ByteTopic, count: number): Promise<Loaded> {
  const name = fresh('load')
  const load = new Clock()
  const stage = (onRecord: (found: Uint8Array | undefined, key: Uint8Array) => void): ReturnType<typeof processor> =>
    processor({
      name: 'load',
      from,
      state: { value: keyed(bytes) },
      process({ key, value }, { state }) {
        onRecord(state.value.get(), key)
        state.value.set(value)
      }
    })
  await runThrough(client, pipeline(name, [stage(() => load.start())]), count, { onCommitted: () => load.stop(count) })

  const sample = 100
  const values = new Map(Array.from({ length: sample }, (_, index) => valueOf(index, count)))
  await produceAgain(client, from, sample, count)
  const restore = new Clock()
  restore.start()
  const check = (found: Uint8Array | undefined, bytes: Uint8Array): void => {
    restore.stop(count)
    const key = Buffer.from(bytes).toString()
    if (!found || !values.get(key)?.equals(found)) throw new Error(`key ${key} was not restored`)
  }
  await runThrough(client, pipeline(name, [stage(check)]), sample)
  return { load: load.run, restore: restore.run }
}

function valueOf(index: number, keys: number): [string, Buffer] {
  const { key, value } = recordAt(index, { keys })
  return [key.toString(), value]
}

async function produceAgain(client: Client, to: ByteTopic, count: number, keys: number): Promise<void> {
  const producer = await client.producer(to)
  await producer.sendAll(entries(0, count, { keys }))
  await producer.close()
}

/** What a user of kafkajs would do: read the topic from its start into a `Map`. */
export async function loadMap(kafka: Kafka, topic: string, count: number): Promise<Run> {
  const clock = new Clock()
  const map = new Map<string, Buffer>()
  let seen = 0
  const consumer = kafka.consumer({ groupId: fresh('map'), maxWaitTimeInMs: 200 })
  await eachBatch(consumer, topic, 1, async ({ batch }, done) => {
    clock.start()
    for (const { key, value } of batch.messages) map.set(key!.toString(), value!)
    seen += batch.messages.length
    if (seen < count) return
    clock.stop(count)
    done()
  })
  if (map.size !== count) throw new Error(`the map has ${map.size} keys of ${count}`)
  return clock.run
}

/** A topic of its own with `count` records under as many keys: the sample that `loadState` adds must not be there for others. */
export async function fillKeys(client: Client, count: number): Promise<ByteTopic> {
  const topic = byteTopic(fresh('rows'))
  await client.admin.create(topic)
  await produce(client, topic, count, { keys: count })
  return topic
}
