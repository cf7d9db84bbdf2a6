/** Records of a Python service are read by us, and ours by it. */
import { describe, expect, test } from 'vitest'
import type { RawRecord } from '../../../src/core/record.ts'
import { headerText } from '../../../src/core/record.ts'
import { encodeStamp } from '../../../src/core/stamp.ts'
import { missingPython, type PythonMessage, readWithPython, writeWithPython } from './python.ts'
import { createTopic, notRun, open, readAll, record, running, send, serviceUrl } from './server.ts'

const noPython = running ? await missingPython() : undefined
if (noPython && process.env.CI) throw new Error(noPython)
const noAddress = serviceUrl === undefined ? 'the server was given without TIDEMARK_PULSAR_SERVICE_URL' : undefined
const reason = noPython ?? noAddress
const title = running ? (reason ? ` (not run: ${reason})` : '') : notRun

const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
const fullName = (topic: string): string => `persistent://public/default/${topic}`

describe.skipIf(!running || reason)(`pulsar-client of Python${title}`, { timeout: 400_000 }, () => {
  test('what it writes, in batches over all partitions, is read by us', async () => {
    const adapter = await open()
    const topic = await createTopic(adapter, 3)
    const messages: PythonMessage[] = [
      {
        value: every.toString('base64'),
        key: 'schlüssel',
        properties: { größe: '✓ 🌊', empty: '' },
        eventTime: 1_700_000_000_123
      },
      { value: '' },
      ...Array.from({ length: 300 }, (_, index) => ({
        value: Buffer.from(String(index)).toString('base64'),
        key: `key-${index % 20}`,
        eventTime: 1_600_000_000_000 + index
      }))
    ]
    const before = Date.now()
    await writeWithPython(serviceUrl!, fullName(topic), messages)
    const partitions = await Promise.all([0, 1, 2].map(partition => readAll(adapter, topic, partition)))
    const records = partitions.flat()
    expect(records).toHaveLength(messages.length)
    expect(records.filter(({ stamp }) => stamp !== undefined)).toEqual([])
    expect(
      records.some(({ position }) => position.split(':').length === 3),
      'nothing was batched'
    ).toBe(true)

    const named = records.find(({ key }) => key !== null && Buffer.from(key).toString() === 'schlüssel')!
    expect(Buffer.from(named.value!)).toEqual(every)
    expect(named.timestamp).toBe(1_700_000_000_123)
    expect([headerText(named.headers, 'größe'), headerText(named.headers, 'empty')]).toEqual(['✓ 🌊', ''])
    const plain = records.find(({ value }) => value?.byteLength === 0)!
    expect([plain.key, plain.headers]).toEqual([null, {}])
    // Without an event time it is the time of publishing.
    expect(Math.abs(plain.timestamp - before)).toBeLessThan(120_000)

    const byKey = new Map<string, number[]>()
    for (const [partition, found] of partitions.entries())
      for (const { key, value, timestamp } of found) {
        if (key === null || Buffer.from(key).toString() === 'schlüssel') continue
        const number = Number(Buffer.from(value!).toString())
        expect(timestamp).toBe(1_600_000_000_000 + number)
        const name = `${Buffer.from(key).toString()} in ${partition}`
        byKey.set(name, [...(byKey.get(name) ?? []), number])
      }
    expect(byKey.size).toBe(20)
    for (const numbers of byKey.values()) expect(numbers).toEqual(numbers.toSorted((left, right) => left - right))
    await adapter.close()
  })

  test('what we write is read by it: bytes, keys, headers as properties, event time, and what is ours', async () => {
    const adapter = await open()
    const topic = await createTopic(adapter, 2)
    const stamp = encodeStamp('\u00ff\u0000producer-id-12', 7, 1_700_000_000_000, undefined, false)
    await send(adapter, [
      record(topic, 1, every, {
        key: Buffer.from('schlüssel'),
        headers: { größe: Buffer.from('✓') },
        timestamp: 1_700_000_000_123,
        stamp
      }),
      record(topic, 1, '', { timestamp: 0 }),
      record(topic, 1, null, { key: Buffer.from('gone') }),
      record(topic, 1, 'binary key', { key: Buffer.from([0xff, 0x00]) })
    ])
    const [full, empty, tombstone, binary] = await readWithPython(serviceUrl!, `${fullName(topic)}-partition-1`, 4)
    expect(full).toEqual({
      value: every.toString('base64'),
      key: 'schlüssel',
      properties: { größe: '✓', '~s': stamp.toString('base64url') },
      eventTime: 1_700_000_000_123
    })
    expect(empty).toEqual({ value: '', key: '', properties: {}, eventTime: 0 })
    expect(tombstone).toMatchObject({ value: '', key: 'gone', properties: { '~t': '1' } })
    expect(binary).toMatchObject({ key: '/wA=', properties: { '~k': 'base64' } })
    await adapter.close()
  })

  test('both write to one topic, and a position between them is exact', async () => {
    const adapter = await open()
    const topic = await createTopic(adapter)
    const text = ({ value }: RawRecord): string => Buffer.from(value!).toString()
    const python = (from: number): PythonMessage[] =>
      Array.from({ length: 5 }, (_, index) => ({ value: Buffer.from(`python ${from + index}`).toString('base64') }))
    await writeWithPython(serviceUrl!, fullName(topic), python(0))
    await send(
      adapter,
      Array.from({ length: 5 }, (_, index) => record(topic, 0, `ours ${index}`))
    )
    await writeWithPython(serviceUrl!, fullName(topic), python(5))
    const records = await readAll(adapter, topic)
    const [first, ours, last] = [records.slice(0, 5), records.slice(5, 10), records.slice(10)]
    expect([first, ours, last].map(part => part.map(each => text(each).split(' ')[0]))).toEqual([
      Array(5).fill('python'),
      Array(5).fill('ours'),
      Array(5).fill('python')
    ])
    for (const [index, { position }] of records.entries())
      expect((await readAll(adapter, topic, 0, { after: position })).map(text)).toEqual(
        records.slice(index + 1).map(text)
      )
    await adapter.close()
  })
})
