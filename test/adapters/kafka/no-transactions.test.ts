/** A server that speaks the protocol and has no transactions: nothing of tidemark may ask for one. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { connect, number, pipeline, processor, text, topic, type Client } from '../../../src/index.ts'
import { relayedTopic } from '../../../src/pipeline/relay-marker.ts'
import { broker, failure, notRun, open, running, unique } from './server.ts'

const records = 200

async function connected(store: string): Promise<Client> {
  const client = await connect({
    brokers: { default: `kafka://${broker}?transactions=false` },
    store,
    variables: {}
  })
  onTestFinished(() => client.close())
  return client
}

const doubling = (name: string) => {
  const given = topic(`${name}-given`, { key: text, value: number, partitions: 2 })
  const doubled = topic(`${name}-doubled`, { key: text, value: number, partitions: 2 })
  const app = pipeline(name, [
    processor({ name: 'double', from: given, to: doubled, process: ({ key, value }) => ({ key, value: 2 * value }) })
  ])
  return { given, doubled, app }
}

describe.runIf(running)(`kafka without transactions${notRun}`, () => {
  it('takes outputs as they are, from a stage that commits in a store', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-no-transactions-'))
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
    const name = unique('plain')
    const { given, doubled, app } = doubling(name)
    const client = await connected(`sqlite:${join(folder, 'commits.db')}`)
    await client.admin.ensure(given)
    await client.admin.ensure(doubled)
    const producer = await client.producer(given)
    await producer.sendAll(Array.from({ length: records }, (_, id) => ({ key: `k${id % 7}`, value: id })))

    const stop = new AbortController()
    const run = client.run(app, { handleSignals: false, signal: stop.signal })
    run.catch(() => stop.abort())
    const found: number[] = []
    for await (const { value } of client.consumer(doubled, { group: name, signal: stop.signal }))
      if (found.push(value) === records) stop.abort()
    await run
    expect(found.toSorted((one, other) => one - other)).toEqual(Array.from({ length: records }, (_, id) => 2 * id))

    const adapter = await open()
    onTestFinished(() => adapter.close())
    const admin = adapter.admin()
    expect(await admin.describeTopic(doubled.name)).toBeDefined()
    expect(await admin.describeTopic(relayedTopic(name, 'double')), 'its markers of transactions').toBeUndefined()
  }, 60_000)

  it('refuses to commit in it, and says what else there is', async () => {
    const { given, doubled, app } = doubling(unique('refused'))
    const client = await connected('broker')
    await client.admin.ensure(given)
    await client.admin.ensure(doubled)
    const error = await failure(client.run(app, { handleSignals: false }))
    expect(error).toMatchObject({ code: 'unsupported' })
    expect(String(error)).toContain('leave `store` out')
  }, 60_000)
})
