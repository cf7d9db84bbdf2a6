/** Names and headers that somebody else has chosen are names and headers, and nothing else. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { file } from '../../src/adapters/file/index.ts'
import { memory } from '../../src/adapters/memory/index.ts'
import { systemEnvironment } from '../../src/core/environment.ts'
import { connect, json, pipeline, processor, text, topic } from '../../src/index.ts'
import type { AnyAdapter } from '../../src/spec/index.ts'
import { failure } from '../support/failure.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-names-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const evil = [
  '../escaped',
  '../../etc/passwd',
  '/etc/passwd',
  'a/../../b',
  '..',
  '.',
  'con\0trol',
  'quo"te; drop table topics',
  "quo'te); --",
  '%2e%2e%2f',
  '__proto__',
  'constructor',
  'toString'
]

describe('a topic name', () => {
  it.each(evil.filter(name => name !== 'constructor' && name !== 'toString'))(
    '%j is refused by its definition',
    name => {
      expect(() => topic(name, { value: text })).toThrow('topic name')
    }
  )

  // Below the definition: an adapter may be used by itself, and topics of others are listed by name.
  const adapters: [string, () => AnyAdapter][] = [
    ['file', () => file({ path: join(folder, 'data') })],
    ['memory', () => memory()]
  ]
  it.each(adapters)('is never a path, a statement or a property on %s', async (_, make) => {
    const adapter = make()
    await adapter.open(systemEnvironment)
    const admin = adapter.admin()
    const made: string[] = []
    for (const name of evil) {
      expect(await admin.describeTopic(name)).toBeUndefined()
      await admin.createTopic({ topic: name, partitions: 1 }).then(
        () => made.push(name),
        error => expect(adapter.classify(error).code).toBe('bad-config')
      )
    }
    expect([...(await admin.listTopics())].sort()).toEqual([...made].sort())
    const producer = await adapter.producer()
    for (const name of made) {
      const record = { topic: name, partition: 0, key: null, value: Buffer.from(name), headers: {}, stamp: undefined }
      expect(await producer.send([{ ...record, timestamp: 0 }])).toMatchObject([{ ok: true }])
    }
    for (const name of made) {
      const options = { topic: name, partition: 0, from: 'earliest', readCommitted: true, maxBytes: 1_024 } as const
      const reader = await adapter.partitionReader!(options)
      const { records } = await reader.receive({ wait: 1_000 })
      expect(records.map(({ value }) => value && Buffer.from(value).toString())).toEqual([name])
      await reader.close()
    }
    await adapter.close()
    // Nothing was written beside the folder of the data.
    expect((await readdir(folder)).filter(name => name !== 'data')).toEqual([])
    expect((await readdir(join(folder, 'data')).catch(() => [])).filter(name => !name.startsWith('log.db'))).toEqual([])
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  })
})

describe('what a record carries', () => {
  it('cannot change the prototype of anything, and arrives as it is', async () => {
    const notes = topic('notes', { key: text, value: json<Record<string, unknown>>(), partitions: 1 })
    const copies = topic('copies', { key: text, value: json<Record<string, unknown>>(), partitions: 1 })
    const client = await connect({ brokers: { default: memory() }, store: 'memory:', variables: {} })
    await client.admin.ensure(notes)
    const producer = await client.producer(notes)
    const value = JSON.parse(
      '{"__proto__": {"polluted": true}, "constructor": {"prototype": {"polluted": true}}}'
    ) as Record<string, unknown>
    const headers = Object.defineProperty(
      { constructor: Buffer.from('c'), 'line\r\nbreak: x': Buffer.from('a\r\nb: c') },
      '__proto__',
      {
        value: Buffer.from('p'),
        enumerable: true
      }
    ) as unknown as Record<string, Uint8Array>
    await producer.send({ key: '__proto__', value, headers })
    const stop = new AbortController()
    const seen: [string, string[], string][] = []
    const copy = processor({
      name: 'copy',
      from: notes,
      to: copies,
      process({ key, value: found, headers: carried }) {
        seen.push([key, Object.keys(carried).sort(), JSON.stringify(found)])
        stop.abort()
        return { key, value: found, headers: carried }
      }
    })
    await client.run(pipeline('copying', [copy]), { signal: stop.signal, handleSignals: false })
    expect(seen).toEqual([['__proto__', ['__proto__', 'constructor', 'line\r\nbreak: x'], JSON.stringify(value)]])
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
    await client.close()
  })

  it('options from a file cannot, either', async () => {
    const options = JSON.parse('{"brokers": {"default": {"adapter": "memory", "__proto__": {"polluted": true}}}}') as {
      brokers: never
    }
    const error = await failure(() => connect({ ...options, variables: {} }))
    expect(error.message).toContain("unknown option '__proto__'")
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  })
})
