/** One worker. Start as many as there is work for; kill any of them at any time. */
import { connect } from 'tidemark'
import { flightsPipeline } from './pipeline.ts'
import type { Settings } from './settings.ts'

const settings = JSON.parse(process.argv[2]!) as Settings

await using client = await connect({ brokers: { default: settings.broker } })
// The shortest session that a Kafka allows as it comes: so soon the work of a dead worker goes on elsewhere.
await client.run(flightsPipeline(settings), { sessionTimeout: 6_000, vitalsInterval: 250 })
