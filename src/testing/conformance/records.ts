import assert from 'node:assert/strict'
import { systemEnvironment } from '../../core/environment.ts'
import { noHeaders, type OutgoingRecord, type RawRecord } from '../../core/record.ts'
import { encodeStamp } from '../../core/stamp.ts'
import { log, tombstones } from './applies.ts'
import { type CaseContext, outgoing } from './context.ts'
import type { ConformanceCase } from './types.ts'

const group = 'records'

/** Writes one record to a new topic and reads it back. */
async function roundTrip(context: CaseContext, record: Partial<OutgoingRecord>): Promise<RawRecord> {
  const topic = await context.topic()
  await context.send([outgoing(topic, 0, 'value', record)])
  const records = await context.readAll(topic)
  assert.equal(records.length, 1)
  return records[0]!
}

const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))

function same(actual: Uint8Array | null | undefined, expected: Uint8Array): void {
  assert.ok(actual instanceof Uint8Array, `expected bytes, got ${String(actual)}`)
  assert.deepEqual(Buffer.from(actual), Buffer.from(expected))
}

export const recordCases: readonly ConformanceCase[] = [
  {
    group,
    name: 'key and value come back byte for byte',
    applies: log,
    async run(context) {
      const record = await roundTrip(context, { key: every, value: Buffer.concat([every, every.toReversed()]) })
      same(record.key, every)
      same(record.value, Buffer.concat([every, every.toReversed()]))
    }
  },
  {
    group,
    name: 'a record without a key, headers and stamp comes back without them',
    applies: log,
    async run(context) {
      const record = await roundTrip(context, { key: null })
      assert.equal(record.key, null)
      assert.equal(record.stamp, undefined)
      assert.deepEqual(Object.keys(record.headers), [])
    }
  },
  {
    group,
    name: 'an empty value is empty, not null',
    applies: log,
    async run(context) {
      same((await roundTrip(context, { key: every, value: new Uint8Array(0) })).value, new Uint8Array(0))
    }
  },
  {
    group,
    name: 'a null value (tombstone) is null, not empty',
    applies: tombstones,
    async run(context) {
      assert.equal((await roundTrip(context, { key: every, value: null })).value, null)
    }
  },
  {
    group,
    name: 'a backend that declares no tombstones does not have them after all',
    applies: (capabilities, traits) => {
      if (capabilities.tombstones) return 'the backend has tombstones'
      return log(capabilities, traits)
    },
    async run(context) {
      const topic = await context.topic()
      const [result] = await (await context.producer()).send([outgoing(topic, 0, null)])
      if (result!.ok) assert.notEqual((await context.readAll(topic))[0]?.value, null)
    }
  },
  {
    group,
    name: 'text headers come back, unicode names and empty values included',
    applies: log,
    async run(context) {
      const headers = { 'trace-id': Buffer.from('4bf92f35'), größe: Buffer.from('naïve ✓ 🌊'), empty: Buffer.alloc(0) }
      const record = await roundTrip(context, { headers })
      assert.deepEqual(Object.keys(record.headers).toSorted(), Object.keys(headers).toSorted())
      for (const [name, value] of Object.entries(headers)) same(record.headers[name], value)
    }
  },
  {
    group,
    name: 'header values that are no UTF-8 come back byte for byte',
    applies: (capabilities, traits) =>
      capabilities.headers === 'bytes' ? log(capabilities, traits) : 'the backend carries headers as text',
    async run(context) {
      same((await roundTrip(context, { headers: { raw: every } })).headers['raw'], every)
    }
  },
  {
    group,
    name: 'the stamp comes back apart from the headers',
    applies: log,
    async run(context) {
      const stamp = encodeStamp('\u00ff\u0000producer-id-12', 2 ** 40, 1_700_000_000_000, 1_699_999_999_000, false)
      const record = await roundTrip(context, { stamp, headers: { mine: Buffer.from('x') } })
      same(record.stamp, stamp)
      assert.deepEqual(Object.keys(record.headers), ['mine'])
    }
  },
  {
    group,
    name: 'the timestamp is the event time, or the time of the append where the broker says so',
    applies: log,
    async run(context) {
      const timestamp = systemEnvironment.now() - 3_600_000
      const record = await roundTrip(context, { timestamp })
      if (context.harness.capabilities.brokerTime === 'client') assert.equal(record.timestamp, timestamp)
      else
        assert.ok(Math.abs(record.timestamp - systemEnvironment.now()) < 600_000, `append time is ${record.timestamp}`)
    }
  },
  {
    group,
    name: 'bytes handed in are not changed',
    applies: log,
    async run(context) {
      const key = Buffer.from('key')
      const value = Buffer.from(every)
      const headers = { name: Buffer.from('header') }
      await roundTrip(context, { key, value, headers })
      assert.deepEqual([key.toString(), headers.name.toString()], ['key', 'header'])
      same(value, every)
      assert.deepEqual(noHeaders, {})
    }
  }
]
