/**
 * `npm run up -- kafka|pulsar|pubsub|eventhubs|kinesis|postgres|registry|dynamodb [--port N]`: runs a server of `testcontainers/` in the foreground. Its URL is the only line on
 * stdout. Ctrl-C stops it and removes its data; a second Ctrl-C does not wait for a graceful end.
 */
import { parseArgs } from 'node:util'
import { startDynamodb } from '../testcontainers/dynamodb.ts'
import { startEventhubs } from '../testcontainers/eventhubs.ts'
import { startKafka } from '../testcontainers/kafka.ts'
import { startKinesis } from '../testcontainers/kinesis.ts'
import { startPostgres } from '../testcontainers/postgres.ts'
import { startPubsub } from '../testcontainers/pubsub.ts'
import { startPulsar } from '../testcontainers/pulsar.ts'
import { startRegistry } from '../testcontainers/registry.ts'
import type { Server } from '../testcontainers/server.ts'

/** The fakes have neither TLS nor users. */
type Running = Omit<Server, 'tls'> & Partial<Pick<Server, 'tls'>>

const SERVERS: Readonly<Record<string, (port: number | undefined) => Promise<Running>>> = {
  kafka: port => startKafka({ port }),
  pulsar: port => startPulsar({ port }),
  pubsub: port => startPubsub({ port }),
  eventhubs: port => startEventhubs({ port }),
  kinesis: port => startKinesis({ port }),
  postgres: port => startPostgres({ port }),
  registry: port => startRegistry({ port }),
  dynamodb: port => startDynamodb({ port })
}
const USAGE = `usage: npm run up -- NAME [--port N]\nservers: ${Object.keys(SERVERS).join(', ')}`

function fail(sentence: string, status: number): never {
  console.error(sentence)
  process.exit(status)
}

function parse(): { start: (port: number | undefined) => Promise<Running>; port: number | undefined; name: string } {
  try {
    const { positionals, values } = parseArgs({ allowPositionals: true, options: { port: { type: 'string' } } })
    const [name, ...rest] = positionals
    const start = name !== undefined && Object.hasOwn(SERVERS, name) ? SERVERS[name] : undefined
    if (name === undefined || !start || rest.length > 0) throw new Error(`no such server: ${positionals.join(' ')}`)
    const port = values.port === undefined ? undefined : Number(values.port)
    if (port !== undefined && !(Number.isInteger(port) && port > 0 && port < 65_536)) {
      throw new Error(`not a port: ${values.port}`)
    }
    return { start, port, name }
  } catch (error) {
    return fail(`${(error as Error).message}\n${USAGE}`, 2)
  }
}

const { start, port, name } = parse()
// Until the server is up, Ctrl-C ends this process in the default way, and what was started ends with it.
const server = await start(port).catch((error: Error) => fail(error.message, 1))

let stopping = false
async function stop(status: number): Promise<void> {
  if (stopping) process.exit(status)
  stopping = true
  await server.stop()
  process.exit(status)
}
process.on('SIGINT', () => void stop(0))
process.on('SIGTERM', () => void stop(0))

console.log(server.url)
console.error(`${name} is up${server.pid === undefined ? '' : `, pid ${server.pid}`}; Ctrl-C stops it`)
if ('serviceUrl' in server) console.error(`binary protocol, for native clients: ${String(server.serviceUrl)}`)
if (server.tls) {
  const { address, caPath, users } = server.tls
  console.error(`with TLS${users.length > 0 ? ' and SASL' : ''}: ${address}, authority ${caPath}`)
  for (const { username, password, mechanisms } of users)
    console.error(`  ${username} / ${password} (${mechanisms.join(', ')})`)
}

// Keeps this process alive, and notices when the server does not.
setInterval(() => {
  if (stopping || server.runtime !== 'process' || server.pid !== undefined) return
  console.error(`${name} ended by itself`)
  void stop(1)
}, 1_000)
