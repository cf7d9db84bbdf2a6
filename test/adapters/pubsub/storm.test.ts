import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, test } from 'vitest'
import { connect } from '../../../src/index.ts'
import { startPubsub } from '../../../testcontainers/pubsub.ts'
import { lastWords } from './last-words.ts'
import { atEnd, foreignClient, notRun, running, unique, until } from './server.ts'
import { storm, type StormJob } from './storm-pipeline.ts'

const script = fileURLToPath(new URL('./storm-worker.ts', import.meta.url))
const accounts = 10
const deposited = 1000

interface Storm {
  readonly publisher: 'tidemark' | 'others'
  readonly reading: 'partitions' | 'one existing subscription'
  readonly exactlyOnce: boolean
}

const storms: readonly Storm[] = [
  { publisher: 'tidemark', reading: 'partitions', exactlyOnce: false },
  { publisher: 'tidemark', reading: 'partitions', exactlyOnce: true },
  { publisher: 'others', reading: 'partitions', exactlyOnce: false },
  { publisher: 'others', reading: 'one existing subscription', exactlyOnce: false }
]

// 30 % delivered again, 10 % of acknowledgements too late, a worker killed with messages in hand.
describe.skipIf(!running).concurrent(`a storm of redeliveries: 0 lost, 0 doubled${notRun}`, () => {
  test.for(storms)(
    'written by $publisher, read by $reading, exactly-once delivery: $exactlyOnce',
    { timeout: 300_000 },
    async ({ publisher, reading, exactlyOnce }, { expect }) => {
      const own = await startPubsub({ faults: { redeliver: 0.3, expire: 0.1, seed: 7 } })
      atEnd(() => own.stop())
      const url = `${own.url}&ackDeadline=10000&exactlyOnce=${exactlyOnce}`
      const folder = await mkdtemp(join(tmpdir(), 'tidemark-storm-'))
      atEnd(() => rm(folder, { recursive: true, force: true }))
      const name = unique('storm')
      const subscription = reading === 'partitions' ? undefined : `${name}-all`
      const job: StormJob = { name, pace: 1, subscription }
      const { deposits, audited, app } = storm(job)

      const client = await connect({ brokers: { default: url } })
      atEnd(() => client.close())
      await client.admin.prepare(app)
      const others = foreignClient(own.url)
      if (subscription !== undefined) await others.topic(deposits.name).createSubscription(subscription)
      const { last, counted, repeats } = await lastWords(own.url, audited.name)

      const work = (): ChildProcess => {
        const store = `sqlite:${join(folder, 'store.db')}`
        const args = ['--disable-warning=ExperimentalWarning', script, url, store, JSON.stringify(job)]
        const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] })
        atEnd(() => void child.kill('SIGKILL'))
        return child
      }
      const doomed = work()
      const workers = [work()]
      const producer = publisher === 'tidemark' ? await client.producer(deposits) : undefined
      const foreign = others.topic(deposits.name, { messageOrdering: true })
      const send = async (from: number, to: number): Promise<void> => {
        const keys = Array.from({ length: to - from }, (_, index) => `account-${(from + index) % accounts}`)
        if (producer) return producer.sendAll(keys.map(key => ({ key, value: { amount: 1 } })))
        await Promise.all(keys.map(key => foreign.publishMessage({ orderingKey: key, json: { amount: 1 } })))
      }
      await send(0, deposited / 2)
      await until(async () => counted() >= 300)
      doomed.kill('SIGKILL')
      workers.push(work())
      await send(deposited / 2, deposited)
      await until(async () => counted() >= deposited)
      // What is still to come again must change nothing.
      await new Promise(resolve => setTimeout(resolve, 3_000))
      const each = deposited / accounts
      for (let account = 0; account < accounts; account++)
        expect(last.get(`account-${account}`), `account-${account}`).toMatchObject({
          count: each,
          sum: (each * (each + 1)) / 2
        })
      expect(repeats(), 'the storm was real').toBeGreaterThan(200)
      await producer?.close()
      const ended = workers.map(worker => once(worker, 'exit'))
      for (const worker of workers) worker.kill('SIGTERM')
      expect(await Promise.all(ended)).toEqual(workers.map(() => [0, null]))
    }
  )
})
