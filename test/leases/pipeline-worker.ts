/** `node pipeline-worker.ts FOLDER JOB`: one worker of the conformance ledger on a `file:` broker whose groups are hidden. */
import { setTimeout as sleep } from 'node:timers/promises'
import { file } from '../../src/adapters/file/index.ts'
import { connect } from '../../src/index.ts'
import { ledger, type LedgerJob } from '../../src/testing/conformance/index.ts'
import { ungrouped } from './ungrouped.ts'

const [path = '', job = ''] = process.argv.slice(2)
const { name, store, sessionTimeout, pace } = JSON.parse(job) as LedgerJob
const { app } = ledger(name, { before: () => sleep(pace).then(() => {}) })
const client = await connect({ brokers: { default: ungrouped(file({ path })) }, store })
await client.run(app, { sessionTimeout, commitInterval: 20, vitalsInterval: 100 })
await client.close()
