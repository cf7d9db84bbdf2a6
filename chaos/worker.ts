/** `node worker.ts <job as JSON>`: one of the processes that share the pipeline, until it has ended or is killed. Says `ready` once it is. */
import { subscribe } from 'node:diagnostics_channel'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { connect } from '../src/index.ts'
import { notesFile, type Job } from './job.ts'
import { chain } from './pipeline.ts'

// Whoever counts is gone: then nobody will end us.
const parent = process.ppid
setInterval(() => process.ppid !== parent && process.exit(1), 1_000).unref()

const job = JSON.parse(process.argv[2]!) as Job
if (job.noted) {
  const notes = createWriteStream(join(job.folder, notesFile(process.pid)))
  subscribe('tidemark:commit', event => {
    const { task, records } = event as { task: string; records: number }
    if (records > 0) notes.write(`${Date.now()} ${task}\n`)
  })
}
const client = await connect({ brokers: { default: job.broker }, store: job.store, variables: {} })
const probe = setInterval(() => {
  if (!client.health().ready) return
  clearInterval(probe)
  console.log('ready')
}, 20)
await client.run(chain(job).app, { sessionTimeout: job.sessionTimeout, commitInterval: 50, vitalsInterval: 250 })
clearInterval(probe)
await client.close()
