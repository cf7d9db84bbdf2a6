/** `node standby-worker.ts URL JOB`: one worker of the pipeline of `standby-kafka.test.ts`, which tells of its changelogs. */
import { subscribe } from 'node:diagnostics_channel'
import { connect, pipeline } from '../../src/index.ts'
import { counting, type Job, type Word } from './standby-counting.ts'

const [, , url, text] = process.argv
const job = JSON.parse(text!) as Job
for (const about of ['changelog-read', 'changelog-followed', 'task-assigned'] as const)
  subscribe(`tidemark:${about}`, event => {
    const { records = 0, standby = false } = event as Partial<Word>
    process.send!({ about, records, standby } satisfies Word)
  })
process.removeAllListeners('warning')
process.once('disconnect', () => process.exit(1))

const stop = new AbortController()
process.once('message', () => stop.abort())
const client = await connect({ brokers: { default: url! }, store: 'broker', variables: {} })
const { name, standby } = job
await client.run(pipeline(name, [counting(job)]), {
  ...{ standby, handleSignals: false, commitInterval: 20, sessionTimeout: 3_000, signal: stop.signal }
})
await client.close()
process.disconnect()
