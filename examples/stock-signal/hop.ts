/** One service, in a process of its own. The process that started it tells it when to misbehave. */
import { connect } from 'tidemark'
import { services, topics, type Mood } from './hops.ts'

const [name = '', brokers = ''] = process.argv.slice(2)
const mood: Mood = { takes: 0, failsEach: 0, lateEach: 0 }
process.on('message', change => Object.assign(mood, change))
process.on('disconnect', () => process.exit(0))

await using client = await connect({ brokers: JSON.parse(brokers) as Record<string, string>, topics })
// The reports come more often than they need to, so that there is less to wait for in a demonstration.
await client.run(services(mood)[name]!(), { vitalsInterval: 250, sessionTimeout: 6_000 })
