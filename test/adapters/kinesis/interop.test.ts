import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fromUrl } from '../../../src/adapters/kinesis/index.ts'
import { encodeStamp } from '../../../src/core/stamp.ts'
import type { AnyAdapter } from '../../../src/spec/index.ts'
import { missingPython, pythonWith, runPython } from '../../support/python.ts'
import { createTopic, readAll, record, texts } from '../../support/records.ts'
import { notRun, open, running, split, url } from './server.ts'

const requirements = ['aws-kinesis-agg==1.2.3', 'boto3==1.44.5', 'protobuf==7.36.2']
const script = fileURLToPath(new URL('./interop.py', import.meta.url))
const reason = running ? await missingPython() : undefined

interface Written {
  readonly key: string
  readonly value: string
  readonly hashKey?: string
}

interface Read {
  readonly shard: string
  readonly key: string
  readonly value: string
  readonly aggregated: boolean
  readonly hashKey: string
  readonly sequence: string
  readonly sub: number
  readonly tags: Readonly<Record<string, string>>
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const text = (value: string): string => Buffer.from(value, 'base64').toString()

describe.runIf(running && reason === undefined)('with boto3 and aws-kinesis-agg', () => {
  let adapter: AnyAdapter
  let python: string
  beforeAll(async () => {
    python = await pythonWith(requirements)
    adapter = await open({ pollInterval: 50 })
  }, 400_000)
  afterAll(() => adapter.close())

  const endpoint = fromUrl(url).endpoint!
  async function read(topic: string): Promise<Read[]> {
    const output = await runPython(python, script, ['read', endpoint, topic], '')
    return output
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line) as Read)
  }
  async function write(topic: string, form: 'plain' | 'aggregated', records: readonly Written[]): Promise<void> {
    const input = records.map(each => JSON.stringify(each)).join('\n')
    await runPython(python, script, ['write', endpoint, topic, form], input)
  }

  it('what we write is read there: keys, values, tags, hash keys, and positions like ours', async () => {
    const topic = await createTopic(adapter, 4, { shards: '2' })
    const stamps = [1, 2, 3].map(sequence =>
      encodeStamp('p'.repeat(16), sequence, 1_700_000_000_000 + sequence, undefined, false)
    )
    const producer = await adapter.producer()
    const results = await producer.send([
      record(topic, 2, 'one', {
        key: Buffer.from('schlüssel'),
        headers: { trace: Buffer.from('naïve ✓') },
        stamp: stamps[0]
      }),
      record(topic, 2, 'two', {
        key: Buffer.from('schlüssel'),
        headers: { raw: Buffer.from([0xff, 0]) },
        stamp: stamps[1]
      }),
      record(topic, 2, null, { key: Buffer.from([0xfe]), stamp: stamps[2] }),
      record(topic, 2, 'none')
    ])
    const found = await read(topic)
    expect(found.map(({ key, value, tags }) => ({ key, value: text(value), tags }))).toEqual([
      { key: 'schlüssel', value: 'one', tags: { '~s': stamps[0]!.toString('base64url'), trace: 'naïve ✓' } },
      { key: 'schlüssel', value: 'two', tags: { '~': 'C', '~b:raw': '_wA' } },
      { key: '~', value: '', tags: { '~': 'C', '~k': '_g', '~t': '' } },
      { key: '~', value: 'none', tags: {} }
    ])
    expect(new Set(found.map(({ hashKey }) => hashKey))).toEqual(new Set([String((5n << 128n) / 8n)]))
    expect(found.map(({ shard, sequence, sub }) => `${Number(shard.slice(-12))}:${sequence}:${sub}`)).toEqual(
      results.map(result => (result.ok ? result.position : result.error))
    )
  })

  it('a thousand records in many batches arrive there in order, over a split', async () => {
    const topic = await createTopic(adapter, 1, { shards: '1' })
    const producer = await adapter.producer()
    for (let batch = 0; batch < 10; batch++) {
      if (batch === 5) await split(adapter, topic, 0)
      const records = Array.from({ length: 100 }, (_, index) =>
        record(topic, 0, String(batch * 100 + index), { key: Buffer.from('k') })
      )
      for (const result of await producer.send(records)) expect(result.ok).toBe(true)
    }
    const found = await read(topic)
    expect(found.map(({ value }) => text(value))).toEqual(Array.from({ length: 1000 }, (_, index) => String(index)))
    expect(found.every(({ aggregated }) => aggregated)).toBe(true)
  })

  it('what is aggregated there is read here', async () => {
    const topic = await createTopic(adapter, 1, { shards: '1' })
    const records = Array.from({ length: 200 }, (_, index) => ({
      key: `ключ ${index % 7}`,
      value: base64(`value ${index}`)
    }))
    await write(topic, 'aggregated', records)
    const found = await readAll(adapter, topic)
    expect(texts(found)).toEqual(records.map(({ value }) => text(value)))
    expect(found.map(({ key }) => Buffer.from(key!).toString())).toEqual(records.map(({ key }) => key))
    expect(texts(await readAll(adapter, topic, 0, { from: { after: found[120]!.position } }))).toEqual(
      records.slice(121).map(({ value }) => text(value))
    )
  })

  it('what is aggregated there with hash keys is read in its partitions', async () => {
    const topic = await createTopic(adapter, 4, { shards: '1' })
    const hashKey = (quarter: number): string => String((BigInt(quarter) << 126n) + 99n)
    const records = Array.from({ length: 40 }, (_, index) => ({
      key: 'same',
      value: base64(`${index}`),
      hashKey: hashKey(index % 4)
    }))
    await write(topic, 'aggregated', records)
    for (const partition of [0, 1, 2, 3])
      expect(texts(await readAll(adapter, topic, partition))).toEqual(
        Array.from({ length: 10 }, (_, index) => String(index * 4 + partition))
      )
  })

  it('what is put there as it is, is read here', async () => {
    const topic = await createTopic(adapter, 1, { shards: '1' })
    await write(topic, 'plain', [
      { key: 'a', value: base64('one') },
      { key: 'ß', value: Buffer.from([0xf3, 0x89, 0x9a, 0xc2, 1, 2]).toString('base64') }
    ])
    const found = await readAll(adapter, topic)
    expect(found.map(({ key }) => Buffer.from(key!).toString())).toEqual(['a', 'ß'])
    expect(found.map(({ value }) => Buffer.from(value!).toString('hex'))).toEqual(['6f6e65', 'f3899ac20102'])
  })
})

it.skipIf(running && reason === undefined)(
  `interop of Kinesis${notRun}${reason === undefined ? '' : ` (not run: ${reason})`}`,
  () => {}
)
