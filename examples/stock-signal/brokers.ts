import { join } from 'node:path'

export interface Brokers extends AsyncDisposable {
  /** Name -> URL. */
  readonly urls: Readonly<Record<'one' | 'two' | 'three', string>>
}

interface Started {
  readonly url: string
  stop(): Promise<void>
}

/**
 * Three `file:` brokers; or those of `BROKERS`: URLs, or names of servers that are started for this run and end with it, as in
 * `BROKERS=kafka,pubsub,kinesis`.
 */
export async function openBrokers(folder: string, given: string | undefined): Promise<Brokers> {
  const names = ['one', 'two', 'three'] as const
  const wanted = given?.split(',') ?? names.map(name => `file:${join(folder, name)}`)
  if (wanted.length !== names.length)
    throw new Error(`BROKERS must name three, such as kafka,pubsub,kinesis, not '${given}'`)
  const started: Started[] = []
  const stop = async (): Promise<void> => {
    for (const server of started) await server.stop()
  }
  try {
    const urls: Record<string, string> = {}
    for (const [index, name] of names.entries()) {
      const each = wanted[index]!
      if (each.includes(':')) urls[name] = each
      else {
        console.error(`starting ${each} …`)
        started.push(await start(each))
        urls[name] = started.at(-1)!.url
      }
    }
    return { urls: urls as Brokers['urls'], [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function start(name: string): Promise<Started> {
  switch (name) {
    case 'kafka':
      return (await import('../../testcontainers/kafka.ts')).startKafka()
    case 'pubsub':
      return (await import('../../testcontainers/pubsub.ts')).startPubsub()
    case 'kinesis':
      return (await import('../../testcontainers/kinesis.ts')).startKinesis()
    case 'pulsar':
      return (await import('../../testcontainers/pulsar.ts')).startPulsar()
    default:
      throw new Error(
        `'${name}' cannot be started: kafka, pubsub, kinesis and pulsar can, and URLs are taken as they are`
      )
  }
}
