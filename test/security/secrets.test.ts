/** Secrets are planted wherever one may be given, and looked for wherever something is said. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { healthText } from '../../src/health/index.ts'
import {
  connect,
  examine,
  number,
  pipeline,
  processor,
  text,
  topic,
  type ConnectOptions,
  type Diagnostics
} from '../../src/index.ts'
import { unusedPort } from '../testing/harnesses.ts'

const planted = 'planted-Zx81-secret'
const events: (keyof Diagnostics)[] = [
  'task-assigned',
  'task-released',
  'task-fenced',
  'task-restarted',
  'commit',
  'record-retried',
  'record-parked',
  'send-retried',
  'receive-retried',
  'vitals',
  'vitals-lost',
  'event-loop-blocked'
]

let said: string[]
const listen = (message: unknown): void => void said.push(everything(message))
beforeEach(() => {
  said = []
  for (const event of events) subscribe(`tidemark:${event}`, listen)
})
afterEach(() => {
  for (const event of events) unsubscribe(`tidemark:${event}`, listen)
})

/** All that a logger could get out of it: nested, with causes, getters and hidden properties. */
const everything = (value: unknown): string =>
  `${inspect(value, { depth: 8, showHidden: true, maxStringLength: null, maxArrayLength: null })} ${String(value)} ${stack(value)}`

const stack = (value: unknown): string =>
  value instanceof Error ? `${value.stack ?? ''} ${stack(value.cause)} ${JSON.stringify(value)}` : ''

const forms = [planted, encodeURIComponent(planted), Buffer.from(planted).toString('base64')]
const expectClean = (what: string, told: string): void => {
  for (const form of forms) expect(told.includes(form), `${what} says a secret: ${told.slice(0, 2_000)}`).toBe(false)
}

const words = topic('secret-words', { key: text, value: text, partitions: 1 })
const app = pipeline('secrets', [processor({ name: 'look', from: words, process: () => {} })])

describe('a broker that cannot be reached', () => {
  const configs: readonly [string, (port: number) => ConnectOptions['brokers'][string]][] = [
    [
      'kafka',
      port => ({
        adapter: 'kafka',
        brokers: [`127.0.0.1:${port}`],
        sasl: { mechanism: 'plain', username: 'ann', password: planted },
        ssl: { key: planted }
      })
    ],
    ['pulsar', port => ({ adapter: 'pulsar', webUrl: `http://127.0.0.1:${port}`, token: planted })],
    [
      'kinesis',
      port => ({
        adapter: 'kinesis',
        region: 'eu-central-1',
        endpoint: `http://127.0.0.1:${port}`,
        credentials: { accessKeyId: 'id', secretAccessKey: planted, sessionToken: planted }
      })
    ],
    [
      'eventhubs',
      port => ({
        adapter: 'eventhubs',
        connectionString: `Endpoint=sb://127.0.0.1:${port};SharedAccessKeyName=all;SharedAccessKey=${planted};UseDevelopmentEmulator=true`
      })
    ]
  ]

  it.each(configs)(
    '%s: errors, diagnostics, health, the doctor and the client say none',
    { timeout: 60_000 },
    async (_, config) => {
      const brokers = { default: config(await unusedPort()) }
      const store = 'memory:'
      const findings = await examine({ brokers, store, pipelines: [app], variables: { TIDEMARK_RUN__SECRET: planted } })
      expectClean('the doctor', JSON.stringify(findings))
      const client = await connect({ brokers, store, variables: {} }).catch(error =>
        expectClean('connect', everything(error))
      )
      if (!client) return
      const stop = AbortSignal.timeout(3_000)
      const producing = client.producer(words).then(
        producer => producer.send({ key: 'k', value: 'v' }),
        error => error as unknown
      )
      const running = client
        .run(app, { signal: stop, drainTimeout: 500, handleSignals: false })
        .catch((error: unknown) => error)
      const [produced, ran] = await Promise.race([
        Promise.all([producing, running]),
        new Promise<[unknown, unknown]>(resolve => setTimeout(() => resolve([undefined, undefined]), 12_000))
      ])
      for (const error of [produced, ran]) expectClean('an error', everything(error))
      expectClean('health', `${healthText(client.health())} ${everything(client.health())}`)
      expectClean('the client', `${inspect(client, { depth: 6 })} ${JSON.stringify(client)}`)
      expectClean('the location', client.broker().location)
      await client.close().catch((error: unknown) => expectClean('close', everything(error)))
      expectClean('diagnostics', said.join('\n'))
    }
  )

  it.each([
    ['postgres', (port: number) => `postgres://ann:${planted}@127.0.0.1:${port}/none?connectTimeout=300`],
    ['dynamodb', (port: number) => `dynamodb://eu-central-1/table?endpoint=http://127.0.0.1:${port}&requestTimeout=300`]
  ])('a store of %s says none either', { timeout: 60_000 }, async (_, url) => {
    const store = url(await unusedPort())
    const variables = { AWS_SECRET_ACCESS_KEY: planted }
    const client = await connect({ brokers: { default: 'memory:' }, store, variables })
    await client.admin.ensure(words)
    const error = await client
      .run(app, { handleSignals: false, signal: AbortSignal.timeout(2_000) })
      .catch((thrown: unknown) => thrown)
    expectClean('an error', everything(error))
    expectClean('the doctor', JSON.stringify(await examine({ brokers: { default: 'memory:' }, store, variables })))
    expectClean('diagnostics', said.join('\n'))
    await client.close()
  })
})

const kafka = inject('kafka')
const isUp = kafka.state === 'running' && kafka.tls !== undefined
describe.runIf(isUp)(`a broker that was logged in to${isUp ? '' : ' (not run)'}`, () => {
  it(
    'finds no secret in what was written: records, stamps, vitals, parked records, commits',
    { timeout: 90_000 },
    async () => {
      const tls = kafka.state === 'running' ? kafka.tls! : undefined
      const user = tls!.users.find(({ mechanisms }) => mechanisms.includes('PLAIN'))!
      const name = `secret-${Math.random().toString(36).slice(2)}`
      const numbers = topic(`${name}-in`, { key: text, value: number, partitions: 1 })
      const results = topic(`${name}-out`, { key: text, value: number, partitions: 1 })
      const client = await connect({
        brokers: {
          default: {
            adapter: 'kafka',
            brokers: [tls!.address],
            ssl: { ca: tls!.ca },
            sasl: { mechanism: 'plain', username: user.username, password: user.password }
          }
        },
        variables: {}
      })
      await client.admin.ensure(numbers)
      const producer = await client.producer(numbers)
      await Promise.all([1, 2, 3].map(value => producer.send({ key: 'k', value })))
      const stop = new AbortController()
      let seen = 0
      const work = processor({
        name: 'work',
        from: numbers,
        to: results,
        failure: { retries: 0 },
        process({ key, value }) {
          if (++seen === 3) setTimeout(() => stop.abort(), 1_500)
          if (value === 2) throw new Error('no')
          return { key, value }
        }
      })
      await client.run(pipeline(name, [work]), { signal: stop.signal, handleSignals: false, vitalsInterval: 200 })
      const adapter = client.broker()
      const admin = adapter.admin()
      const topics = (await admin.listTopics()).filter(each => each.includes(name) || each === 'tidemark.vitals')
      expect(topics.length).toBeGreaterThanOrEqual(5)
      let records = 0
      for (const each of topics) {
        const { partitions = 0 } = (await admin.describeTopic(each)) ?? {}
        for (let partition = 0; partition < partitions; partition++) {
          const options = { topic: each, partition, from: 'earliest', readCommitted: false, maxBytes: 1 << 20 } as const
          const reader = await adapter.partitionReader!(options)
          for (let atEnd = false; !atEnd;) {
            const batch = await reader.receive({ wait: 500 })
            atEnd = batch.atEnd
            records += batch.records.length
            for (const { key, value, headers, stamp } of batch.records) {
              const bytes = [key, value, stamp, ...Object.values(headers)].map(part =>
                Buffer.from(part ?? []).toString('latin1')
              )
              for (const part of bytes) expect(part.includes(user.password)).toBe(false)
            }
          }
          await reader.close()
        }
      }
      expect(records).toBeGreaterThan(6)
      expect(said.join('\n').includes(user.password)).toBe(false)
      expect(healthText(client.health()).includes(user.password)).toBe(false)
      await admin.close()
      await client.close()
    }
  )
})
