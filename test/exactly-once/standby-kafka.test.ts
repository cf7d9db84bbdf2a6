/** The owner of a task is killed on a real Kafka: what its successor has to read, with a standby and without, and what comes out. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { connect, type Client } from '../../src/index.ts'
import { broker, notRun, running, unique } from '../adapters/kafka/server.ts'
import { inputOf, outputOf, type Job, type Word } from './standby-counting.ts'

const script = fileURLToPath(new URL('./standby-worker.ts', import.meta.url))
const url = `kafka://${broker}`
const keys = 3_000
/** Records after those: what the standby may not have read when the owner dies. */
const late = 300
const patience = 60_000

interface Started {
  readonly words: readonly Word[]
  heard(about: Word['about']): Promise<Word>
  kill(): Promise<void>
  stop(): Promise<void>
}

function start(job: Job): Started {
  const child = fork(script, [url, JSON.stringify(job)], {
    execArgv: ['--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc']
  })
  const words: Word[] = []
  child.on('message', (word: Word) => words.push(word))
  const exited = once(child, 'exit')
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
  }
  onTestFinished(kill)
  const signal = AbortSignal.timeout(patience)
  return {
    words,
    async heard(about) {
      for (;;) {
        const found = words.find(word => word.about === about)
        if (found) return found
        await once(child, 'message', { signal })
      }
    },
    kill,
    async stop() {
      child.send('stop')
      await exited
    }
  }
}

async function produce(client: Client, job: Job, count: number): Promise<void> {
  const producer = await client.producer(inputOf(job))
  await producer.sendAll(Array.from({ length: count }, (_, index) => ({ key: `key ${index}`, value: '' })))
  await producer.close()
}

/** The outputs, once there are so many. */
async function outputs(client: Client, job: Job, most: number): Promise<Map<string, number[]>> {
  const counts = new Map<string, number[]>()
  let seen = 0
  const signal = AbortSignal.timeout(patience)
  for await (const { key, value } of client.consumer(outputOf(job), { group: unique('seen'), signal })) {
    counts.set(key, [...(counts.get(key) ?? []), value])
    if (++seen === most) break
  }
  return counts
}

describe.runIf(running)(`the owner of a task on Kafka is killed${notRun}`, () => {
  it.each([true, false])(
    'and every record counts once (standby: %s)',
    async standby => {
      const job = { name: unique('standby'), standby }
      const client = await connect({ brokers: { default: url }, variables: {} })
      onTestFinished(() => client.close())
      for (const topic of [inputOf(job), outputOf(job)]) await client.admin.create(topic)
      const owner = start(job)
      await produce(client, job, keys)
      await outputs(client, job, keys)
      const next = start(job)
      // All of these are committed before it begins; what comes now may be ahead of it when the owner dies.
      if (standby) expect((await next.heard('changelog-followed')).records).toBeGreaterThan(keys)
      await produce(client, job, late)
      await owner.kill()
      const read = await next.heard('changelog-read')
      expect(read.standby).toBe(standby)
      // A row and at most a head for each, and the head that it had.
      if (standby) expect(read.records).toBeLessThanOrEqual(2 * late + 1)
      else expect(read.records).toBeGreaterThan(keys)
      const counts = await outputs(client, job, keys + late)
      expect(counts.size).toBe(keys)
      for (const [key, found] of counts) expect(found, key).toEqual(Number(key.slice(4)) < late ? [1, 2] : [1])
      await next.stop()
    },
    patience * 2
  )
})
