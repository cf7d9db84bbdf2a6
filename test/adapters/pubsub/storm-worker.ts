/** A worker of the storm: `node storm-worker.ts <broker url> <store> <job as JSON>`. */
import { fromUrl, pubsub } from '../../../src/adapters/pubsub/index.ts'
import { connect } from '../../../src/index.ts'
import { storm, type StormJob } from './storm-pipeline.ts'

const [, , url, store, text] = process.argv
const job = JSON.parse(text!) as StormJob
const { deposits, app } = storm(job)
const subscriptions = job.subscription === undefined ? {} : { [deposits.name]: job.subscription }
const client = await connect({ brokers: { default: pubsub({ ...fromUrl(url!), subscriptions }) }, store: store! })
await client.run(app, { sessionTimeout: 2_000, vitalsInterval: 250 })
await client.close()
