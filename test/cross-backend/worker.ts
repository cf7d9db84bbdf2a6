/** `node worker.ts JOB`: one worker, until it is told to stop or killed. */
import { chainOf, connected, type Job } from './job.ts'

const job = JSON.parse(process.argv[2]!) as Job
const client = await connected(job)
await client.run(chainOf(job).app, { sessionTimeout: job.sessionTimeout, commitInterval: 50 })
await client.close()
