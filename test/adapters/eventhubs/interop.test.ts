/** Microsoft's Python client reads what we write, and we read what it writes; both on the double. */
import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { encodeStamp } from '../../../src/core/stamp.ts'
import { missingPython, pythonWith, runPython } from '../../support/python.ts'
import { createTopic, readAll, record } from '../../support/records.ts'
import { notRun, OwnServer, running } from './server.ts'

const requirements = ['azure-eventhub==5.15.1']
const script = fileURLToPath(new URL('./interop.py', import.meta.url))
const reason = running ? await missingPython() : undefined

interface Written {
  readonly partition?: string
  readonly key?: string
  readonly value: string
  readonly properties?: Readonly<Record<string, unknown>>
}

interface Read {
  readonly partition: string
  readonly sequence: number
  readonly enqueued: number
  readonly key: string | null
  readonly value: string
  readonly properties: Readonly<Record<string, unknown>>
}

const base64 = (value: string | Uint8Array): string => Buffer.from(value as string).toString('base64')
const text = (bytes: Uint8Array | null): string | null => bytes && Buffer.from(bytes).toString()

describe.runIf(running && reason === undefined)('with azure-eventhub of Python', () => {
  const own = new OwnServer()
  let python: string
  beforeAll(async () => {
    python = await pythonWith(requirements)
  }, 400_000)

  const read = async (hub: string, count: number): Promise<Read[]> =>
    (await runPython(python, script, ['read', own.server.connectionString, hub, String(count)], ''))
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line) as Read)
  const write = (hub: string, events: readonly Written[]): Promise<string> =>
    runPython(
      python,
      script,
      ['write', own.server.connectionString, hub],
      events.map(event => JSON.stringify(event)).join('\n')
    )

  it('what we write is read there: bodies, keys, headers, stamps and tombstones as properties', async () => {
    const adapter = await own.open()
    const topic = await createTopic(adapter, 4)
    const stamp = encodeStamp('p'.repeat(16), 1, 1_700_000_000_000, undefined, false)
    const producer = await adapter.producer()
    const before = Date.now()
    const results = await producer.send([
      record(topic, 2, 'one', { key: Buffer.from('schlüssel'), headers: { trace: Buffer.from('naïve ✓') }, stamp }),
      record(topic, 2, 'two', { key: Buffer.from([0xfe]), headers: { raw: Buffer.from([0xff, 0]) } }),
      record(topic, 2, null, { key: Buffer.from('gone') }),
      record(topic, 1, 'none')
    ])
    const found = await read(topic, 4)
    expect(
      found.filter(({ partition }) => partition === '2').map(({ value, properties }) => ({ value, properties }))
    ).toEqual([
      {
        value: base64('one'),
        properties: { '~k': base64('schlüssel'), '~s': base64(stamp.toString('base64url')), trace: base64('naïve ✓') }
      },
      {
        value: base64('two'),
        properties: { '~k': base64(Buffer.from([0xfe])), raw: base64(Buffer.from([0xff, 0])) }
      },
      { value: '', properties: { '~k': base64('gone'), '~t': true } }
    ])
    expect(
      found.filter(({ partition }) => partition === '1').map(({ value, properties }) => [value, properties])
    ).toEqual([[base64('none'), {}]])
    for (const { enqueued } of found) expect(enqueued).toBeGreaterThan(before - 5_000)
    expect(results).toHaveLength(4)
  })

  it('what it writes is read by us: a partition key becomes the key, properties become headers', async () => {
    const adapter = await own.open()
    const topic = await createTopic(adapter, 2)
    const binary = randomUUID()
    await write(topic, [
      { partition: '1', value: base64('plain') },
      {
        partition: '1',
        value: base64(Buffer.from([0, 0xff])),
        properties: { text: 'ü', number: 7, binary: { bytes: base64(binary) } }
      },
      { key: 'customer-7', value: base64('keyed') }
    ])
    const records = (await Promise.all([0, 1].map(partition => readAll(adapter, topic, partition)))).flat()
    const [plain, rich] = records.filter(({ key }) => key === null)
    expect([text(plain!.value), plain!.headers, plain!.stamp]).toEqual(['plain', {}, undefined])
    expect([...rich!.value!]).toEqual([0, 0xff])
    expect(Object.fromEntries(Object.entries(rich!.headers).map(([name, value]) => [name, text(value)]))).toEqual({
      text: 'ü',
      number: '7',
      binary
    })
    const keyed = records.find(({ key }) => key !== null)
    expect([text(keyed!.key), text(keyed!.value)]).toEqual(['customer-7', 'keyed'])
  })
})

it.skipIf(running && reason === undefined)(`interop with Python${notRun || ` (not run: ${reason})`}`, () => {})
