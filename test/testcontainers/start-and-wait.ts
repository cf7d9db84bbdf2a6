/** Started by a test as a process of its own: starts a Kafka, says so on stdout, and never stops it. */
import { startKafka } from '../../testcontainers/kafka.ts'

const { pid, logFile } = await startKafka({ runtime: 'process' })
console.log(JSON.stringify({ pid, logFile }))
setInterval(() => {}, 60_000)
