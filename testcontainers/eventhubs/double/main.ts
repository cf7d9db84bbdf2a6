/**
 * A double of Azure Event Hubs on this machine: `node main.ts OPTIONS_AS_JSON`. It was written to what the official clients
 * for Node and Python need; it is not the service. What it does not do: geo-replication, capture, compaction, idempotent
 * publishing, the service's hash of partition keys, throughput units.
 */
import { listenForManagement } from './control.ts'
import { Hubs } from './log.ts'
import { AmqpServer } from './server.ts'
import { type DoubleOptions, Faults, type Namespace } from './state.ts'

const options = JSON.parse(process.argv[2] ?? '{}') as DoubleOptions
const namespace: Namespace = { host: '127.0.0.1', hubs: new Hubs(options.file), faults: new Faults(), options }
const amqp = new AmqpServer(namespace)
await amqp.listen()
await listenForManagement(namespace, amqp)
console.log(`listening on ${options.port}`)

process.on('SIGTERM', () => {
  namespace.hubs.close()
  process.exit(0)
})
