/** `node worker.ts <job as JSON>`: one of the processes that share the pipeline, until it has ended or is killed. */
import { connect } from '../src/index.ts'
import type { Job } from './job.ts'
import { chain } from './pipeline.ts'

// Whoever counts is gone: then nobody will end us.
const parent = process.ppid
setInterval(() => process.ppid !== parent && process.exit(1), 1_000).unref()

const job = JSON.parse(process.argv[2]!) as Job
const client = await connect({ brokers: { default: job.broker }, store: job.store, variables: {} })
await client.run(chain(job).app, { sessionTimeout: job.sessionTimeout, commitInterval: 50, vitalsInterval: 250 })
await client.close()
