/** One worker of the conformance ledger: `node ledger-worker.ts <broker url> <job as JSON>`. */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/index.ts'
import { ledger, type LedgerJob } from '../../src/testing/conformance/index.ts'

const [, , url, text] = process.argv
const { name, store, sessionTimeout, pace } = JSON.parse(text!) as LedgerJob
const { app } = ledger(name, { before: () => sleep(pace).then(() => {}) })
const client = await connect({ brokers: { default: url! }, store })
await client.run(app, { sessionTimeout, commitInterval: 20, vitalsInterval: 100 })
await client.close()
