import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { memory, MemoryBroker } from '../src/adapters/memory/index.ts'
import { connect, optional, pipeline, processor, StreamError, text, topic, type ConnectOptions } from '../src/index.ts'
import { World } from './pipeline/world.ts'
import { failure } from './support/failure.ts'

const words = topic('words', { key: text, value: text })

describe('connect', () => {
  const error = (options: object): Promise<StreamError> =>
    failure(() => connect({ variables: {}, ...options } as ConnectOptions))

  it.each<[string, object, string]>([
    ['no broker', { brokers: {} }, "connect: name at least one broker: { brokers: { default: 'file:./data' } }"],
    [
      'an option that is none',
      { brokers: { default: 'memory:' }, broker: 'x' },
      "connect: unknown option 'broker'; known are brokers"
    ],
    ['a variable that is not set', { brokers: { default: undefined } }, "broker 'default' is undefined"],
    [
      'an adapter that is none',
      { brokers: { default: 'rabbit://host' } },
      "broker 'default': 'rabbit' is no adapter; known are"
    ],
    [
      'an adapter named after something of every object',
      { brokers: { default: 'constructor:x' } },
      "'constructor' is no adapter"
    ],
    ['no adapter at all', { brokers: { default: { brokers: ['a'] } } }, 'is no adapter'],
    [
      'an option of another adapter',
      { brokers: { default: { adapter: 'memory', path: './data' } } },
      "broker 'default': unknown option 'path'; known are name"
    ],
    ['an unknown option in the URL', { brokers: { default: 'memory:x?pathh=1' } }, "unknown option 'pathh'"],
    [
      'a topic on a broker that is none',
      { brokers: { default: 'memory:' }, topics: { trades: { broker: 'cloud' } } },
      "topic 'trades' is to be on broker 'cloud', which is not one of default"
    ],
    [
      'what a topic is not configured with here',
      { brokers: { default: 'memory:' }, topics: { trades: { partitons: 3 } } },
      "topic 'trades': unknown option 'partitons'; known is broker"
    ],
    ['a topic that is no object', { brokers: { default: 'memory:' }, topics: { trades: 'cloud' } }, "topic 'trades'"],
    ['brokers that are no object', { brokers: 'memory:' }, "option 'brokers' must be an object"],
    [
      'what an adapter finds wrong with its URL, by the name of the broker',
      { brokers: { cloud: 'kafka://host?acks=some' } },
      "broker 'cloud': kafka: option 'acks' must be one of all, leader, none"
    ]
  ])('refuses %s', async (_, options, message) => {
    expect(await error(options)).toMatchObject({ code: 'bad-config', message: expect.stringContaining(message) })
  })

  it.each(['kafka//user:p@ss/w0rd@host?x=1', 'Kafka://user:p@ss/w0rd@host', '//user:p@ss/w0rd@host'])(
    'never says a secret of a URL: %s',
    async url => {
      const { message } = await error({ brokers: { default: url } })
      expect(message).not.toContain('w0rd')
      expect(message).not.toContain('p@ss')
    }
  )

  it('takes a URL, options, an adapter, and lays the environment over them', async () => {
    const broker = new MemoryBroker()
    for (const config of ['memory:shared', { adapter: 'memory', name: 'shared' }, memory({ broker })] as const) {
      const client = await connect({ brokers: { default: config }, variables: {} })
      expect(client.broker().name).toBe('memory')
      await client.close()
    }
    const client = await connect({
      brokers: { default: 'kafka://nowhere' },
      variables: { TIDEMARK_BROKERS__DEFAULT: 'memory:elsewhere' }
    })
    expect(client.broker().location).toBe('memory:elsewhere')
    expect(() => client.broker('cloud')).toThrow("there is no broker 'cloud'; known are default")
    await client.close()
    const named = await connect({
      brokers: { default: { adapter: 'memory' } },
      variables: { TIDEMARK_BROKERS__DEFAULT__NAME: 'by-variable' }
    })
    expect(named.broker().location).toBe('memory:by-variable')
    await named.close()
  })

  it('moves one topic to another broker, by option and by variable', async () => {
    const [one, two] = [new MemoryBroker('one'), new MemoryBroker('two')]
    const plain = topic('plain', { key: optional(text), value: text, partitions: 1 })
    const brokers = { default: memory({ broker: one }), cloud: memory({ broker: two }) }
    await using client = await connect({ brokers, variables: { TIDEMARK_TOPICS__PLAIN__BROKER: 'cloud' } })
    await client.admin.ensure(plain)
    expect([one.findTopic('plain'), two.findTopic('plain')].map(Boolean)).toEqual([false, true])
  })

  it('closes what it has opened when a later broker fails', async () => {
    const adapter = memory()
    let closed = false
    const close = adapter.close
    adapter.close = () => ((closed = true), close())
    const broken = { ...memory(), open: () => Promise.reject(new StreamError('connection', 'refused')) }
    expect(await error({ brokers: { default: adapter, other: broken } })).toMatchObject({
      code: 'connection',
      message: 'refused'
    })
    expect(closed).toBe(true)
  })

  it('checks the options of run that are in the environment', async () => {
    const options = { brokers: { default: memory() }, variables: { TIDEMARK_RUN__COMMIT_INTERVAL: 'soon' } }
    expect(await failure(() => connect(options))).toMatchObject({
      code: 'bad-config',
      message: 'TIDEMARK_RUN__COMMIT_INTERVAL must be a number, got "soon"'
    })
  })

  it('says all that is wrong at once, each with its path and the way out, and opens nothing', async () => {
    let opened = 0
    const good = { ...memory(), open: async () => void opened++ }
    const problem = await error({
      brokers: {
        default: good,
        cloud: { adapter: 'kafka', brokers: 'a:9092', clientid: 'x', sasl: { mechanism: 'plain', pasword: 'hunter2' } },
        rabbit: 'amqp://user:hunter2@host'
      },
      topics: { trades: { broker: 'clout' } },
      store: 'postgre://user:hunter2@host/db',
      regstry: {},
      variables: { TIDEMARK_RUN__COMMIT_RECORDS: '0', TIDEMARK_BROKERS__CLOUD__SSL__CA: '' }
    })
    expect(problem.code).toBe('bad-config')
    expect(problem.problems).toEqual([
      "connect: unknown option 'regstry'; known are brokers, topics, store, registry, tracing, environment, variables; did you mean 'registry'?",
      expect.stringMatching(/^broker 'cloud': unknown option 'clientid'; known are .*; did you mean 'clientId'\?$/),
      expect.stringMatching(/^broker 'cloud': option 'brokers' must be a list of strings, got "a:9092"$/),
      expect.stringMatching(/^broker 'cloud'.sasl: unknown option 'pasword'; known are .*; did you mean 'password'\?$/),
      expect.stringMatching(/^broker 'rabbit': 'amqp' is no adapter; known are /),
      "topic 'trades' is to be on broker 'clout', which is not one of default, cloud, rabbit; did you mean 'cloud'?",
      expect.stringMatching(/^store 'postgre:\/\/…' is none: use /),
      "run: option 'commitRecords' must be above 0, got 0"
    ])
    expect(problem.message).toMatch(/^connect: 8 things are wrong:\n- connect: unknown/)
    expect(problem.message).not.toContain('hunter2')
    expect(opened).toBe(0)
  })

  it('refuses a store that is none, and commits where it is told', async () => {
    const world = new World()
    world.broker.createTopic({ topic: 'words', partitions: 1 })
    const app = pipeline('p', [processor({ name: 'echo', from: words, process: () => {} })])
    expect(await error({ brokers: { default: memory() }, store: 'postgres' })).toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining("store 'postgres' is none")
    })
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-start-'))
    const file = join(folder, 'commits.db')
    const other = await connect({
      brokers: { default: memory({ broker: world.broker }) },
      variables: { TIDEMARK_STORE: `sqlite:${file}` },
      environment: world.environment
    })
    const stop = new AbortController()
    const running = other.run(app, { handleSignals: false, signal: stop.signal })
    await world.environment.advance(500)
    stop.abort()
    await world.environment.run(running)
    const { SqliteStore } = await import('../src/exactly-once/index.ts')
    await other.close()
    const store = await SqliteStore.open(file)
    expect((await store.acquire({ id: 'p/echo/0', pipeline: 'p', stage: 'echo', ordinal: 0 })).epoch).toBe(2)
    await store.close()
    await rm(folder, { recursive: true, force: true })
  })
})
