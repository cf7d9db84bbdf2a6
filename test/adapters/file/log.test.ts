import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { FileAdmin } from '../../../src/adapters/file/admin.ts'
import { Appender } from '../../../src/adapters/file/appender.ts'
import { FileConnection } from '../../../src/adapters/file/client.ts'
import { Compactor } from '../../../src/adapters/file/compaction.ts'
import { settingsOf } from '../../../src/adapters/file/options.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import type { RawRecord } from '../../../src/core/record.ts'
import { Clock } from './clock.ts'
import { Member } from './member.ts'
import { folder, open, prepare, readAll, record, send, texts, until } from './support.ts'

const topic = 'words'

/** Looks into the file behind the back of the adapter. */
function inside(path: string): (sql: string) => Record<string, unknown>[] {
  const database = new DatabaseSync(join(path, 'log.db'))
  onTestFinished(() => database.close())
  return sql => database.prepare(sql).all() as Record<string, unknown>[]
}

describe('append', () => {
  it('makes one row of a batch per partition, and rows of about a megabyte of a large one', async () => {
    const path = folder()
    const adapter = await open(path)
    const producer = await prepare(adapter, { topic, partitions: 2 })
    await send(producer, ...Array.from({ length: 100 }, (_, index) => record(topic, 'x', { partition: index % 2 })))
    const rows = inside(path)
    expect(rows('SELECT partition, base, last FROM batch ORDER BY partition')).toEqual([
      { partition: 0, base: 0, last: 49 },
      { partition: 1, base: 0, last: 49 }
    ])
    await send(producer, ...Array.from({ length: 30 }, () => record(topic, 'x'.repeat(100_000))))
    expect(rows('SELECT base, last FROM batch WHERE partition = 0 AND base >= 50')).toEqual([
      { base: 50, last: 59 },
      { base: 60, last: 69 },
      { base: 70, last: 79 }
    ])
    expect((await readAll(adapter, topic)).length).toBe(80)
  })

  it('of several senders at once is one transaction, unless it would be a very large one', async () => {
    const connection = await FileConnection.open(systemEnvironment, settingsOf({ path: folder() }))
    onTestFinished(() => connection.close())
    await new FileAdmin(connection).createTopic({ topic, partitions: 2 })
    const appender = new Appender(connection, new Compactor(connection))
    const transactions = vi.spyOn(connection, 'transaction')
    const some = Array.from({ length: 10 }, (_, index) =>
      appender.append([record(topic, 'a', { partition: index % 2 })])
    )
    expect((await Promise.all(some)).flat().map(result => result.ok && result.position)).toEqual(
      [0, 0, 1, 1, 2, 2, 3, 3, 4, 4].map(String)
    )
    expect(transactions).toHaveBeenCalledTimes(1)
    const value = 'x'.repeat(10_000_000)
    await Promise.all([1, 2, 3].map(() => appender.append([record(topic, value)])))
    expect(transactions).toHaveBeenCalledTimes(4)
  })

  it('is synced to the disk, whatever was not worth it before', async () => {
    const statements: string[] = []
    const run = vi.spyOn(DatabaseSync.prototype, 'exec').mockName('exec')
    onTestFinished(() => run.mockRestore())
    const modeAt = async (body: () => Promise<unknown>): Promise<string | undefined> => {
      await body()
      statements.push(...run.mock.calls.splice(0).map(([sql]) => sql))
      return statements.findLast(sql => sql.startsWith('PRAGMA synchronous'))
    }
    const adapter = await open(folder())
    const producer = await prepare(adapter, { topic, partitions: 1 })
    expect(await modeAt(() => send(producer, record(topic, 'x')))).toBe('PRAGMA synchronous = FULL')
    const heartbeats = Member.join(adapter, { topics: [topic] })
    expect(await modeAt(() => heartbeats)).toBe('PRAGMA synchronous = FULL')
    expect(statements).toContain('PRAGMA synchronous = NORMAL')
    const lost = (await heartbeats).reader.commit([{ topic, partition: 5, position: '0' }])
    expect(await modeAt(() => expect(lost).rejects.toMatchObject({ code: 'not-owner' }))).toBe(
      'PRAGMA synchronous = FULL'
    )
    const relaxed = await open(folder(), { synchronous: 'normal' })
    expect(await modeAt(() => prepare(relaxed, { topic, partitions: 1 }))).toBe('PRAGMA synchronous = NORMAL')
  })

  it('writes what is in front of a record that is refused, and nothing of its partition behind it', async () => {
    const adapter = await open(folder())
    const producer = await prepare(adapter, { topic, partitions: 2 })
    const batch = [
      record(topic, 'a'),
      record(topic, 'other', { partition: 1 }),
      record(topic, 'bad', { timestamp: NaN }),
      record(topic, 'c'),
      record(topic, 'nowhere', { partition: 2 }),
      record(topic, 'more', { partition: 1 })
    ]
    const results = await producer.send(batch)
    expect(results.map(({ ok }) => ok)).toEqual([true, true, false, false, false, true])
    expect(results[2]).toMatchObject({ error: { code: 'bad-record' } })
    expect(results[4]).toMatchObject({ error: { code: 'unknown-topic' } })
    expect(texts(await readAll(adapter, topic))).toEqual(['a'])
    expect(texts(await readAll(adapter, topic, 1))).toEqual(['other', 'more'])
  })

  it('waits for the lock of another process without blocking this one, can be aborted, and gives up in time', async () => {
    const path = folder()
    const adapter = await open(path, { lockTimeout: 1_000 })
    const producer = await prepare(adapter, { topic, partitions: 1 })
    await send(producer, record(topic, 'before'))
    const other = new DatabaseSync(join(path, 'log.db'))
    onTestFinished(() => other.close())
    other.exec('BEGIN IMMEDIATE')

    const stop = new AbortController()
    const aborted = producer.send([record(topic, 'never')], stop.signal)
    const late = producer.send([record(topic, 'late')])
    const settled = Promise.allSettled([aborted, late])
    let turns = 0
    const ticking = setInterval(() => turns++, 5)
    await new Promise(resolve => setTimeout(resolve, 150))
    // Reading needs no lock.
    expect(texts(await readAll(adapter, topic))).toEqual(['before'])
    const start = performance.now()
    stop.abort()
    await expect(aborted).rejects.toMatchObject({ code: 'aborted' })
    expect(performance.now() - start).toBeLessThan(300)
    await expect(late).rejects.toMatchObject({ code: 'timeout', retryable: true })
    await expect(late).rejects.toThrow(/is one of them stopped/)
    clearInterval(ticking)
    expect(turns).toBeGreaterThan(4)
    await settled

    const patient = producer.send([record(topic, 'patient')])
    await systemEnvironment.turn()
    other.exec('COMMIT')
    expect((await patient)[0]).toEqual({ ok: true, position: '1' })
    expect(texts(await readAll(adapter, topic))).toEqual(['before', 'patient'])
  })

  it('keeps a header that is named like the prototype', async () => {
    const adapter = await open(folder())
    const producer = await prepare(adapter, { topic, partitions: 1 })
    const headers = Object.fromEntries([['__proto__', Buffer.from('mine')]])
    await send(producer, record(topic, 'x', { headers }))
    const [read] = await readAll(adapter, topic)
    expect(Object.keys(read!.headers)).toEqual(['__proto__'])
    expect(Object.getPrototypeOf(read!.headers)).toBe(Object.prototype)
  })
})

describe('retention', () => {
  it('by bytes deletes the oldest batches, whole, and tells readers that are too late', async () => {
    const path = folder()
    const adapter = await open(path, { retentionBytes: 50_000 })
    const producer = await prepare(adapter, { topic, partitions: 1 })
    const value = 'x'.repeat(1_000)
    await send(producer, record(topic, 'first'), ...Array.from({ length: 9 }, () => record(topic, value)))
    const member = (await Member.join(adapter, { topics: [topic] })).run()
    await until('ten records', () => member.diary.length === 11)
    await member.reader.commit([{ topic, partition: 0, position: '4' }])
    member.reader.pause([{ topic, partition: 0 }])
    for (let batch = 0; batch < 20; batch++)
      await send(producer, ...Array.from({ length: 10 }, () => record(topic, value)))

    const kept = await readAll(adapter, topic)
    expect(kept.length).toBeGreaterThan(30)
    expect(kept.length).toBeLessThan(60)
    expect(Number(kept[0]!.position) % 10).toBe(0)
    expect(kept.at(-1)!.position).toBe('209')
    const bytes = inside(path)('SELECT bytes, (SELECT sum(size) FROM batch) AS sum FROM partition_state')[0]!
    expect(bytes['bytes']).toBe(bytes['sum'])

    const oldest = Number(kept[0]!.position)
    await expect(readAll(adapter, topic, 0, { after: String(oldest - 2) })).rejects.toMatchObject({
      code: 'position-lost'
    })
    expect((await readAll(adapter, topic, 0, { after: String(oldest - 1) })).length).toBe(kept.length)
    await expect(member.reader.seek({ topic, partition: 0 }, 'committed')).rejects.toMatchObject({
      code: 'position-lost'
    })
    // One that was in the middle of what is gone is told, too, and can go on.
    member.reader.resume([{ topic, partition: 0 }])
    await until('the error', () => member.failure !== undefined)
    expect(member.failure).toMatchObject({ code: 'position-lost' })
    await member.reader.seek({ topic, partition: 0 }, 'earliest')
    expect((await member.step())[0]).toMatchObject({ kind: 'records' })
    expect(await adapter.admin().backlog('readers', [topic])).toEqual([{ topic, partition: 0, records: kept.length }])
  })

  it('keeps the newest batch, however large it is', async () => {
    const adapter = await open(folder(), { retentionBytes: 100 })
    const producer = await prepare(adapter, { topic, partitions: 1 })
    await send(producer, record(topic, 'small'))
    await send(producer, record(topic, 'x'.repeat(1_000)))
    expect((await readAll(adapter, topic)).map(({ position }) => position)).toEqual(['1'])
  })

  it('by time counts from the append, and keeps the newest batch; a topic has its own', async () => {
    const path = folder()
    const clock = new Clock()
    const adapter = await open(path, { retentionTime: 3_600_000 }, clock)
    const producer = await prepare(adapter, { topic, partitions: 1 })
    await adapter.admin().createTopic({ topic: 'brief', partitions: 1, settings: { retentionTime: '60000' } })
    const both = (value: string): Promise<void> => send(producer, record(topic, value), record('brief', value))
    await both('one') // of 1970, but written now
    await both('two')
    expect(texts(await readAll(adapter, topic))).toEqual(['one', 'two'])
    clock.set(120_000)
    await both('three')
    expect(texts(await readAll(adapter, topic))).toEqual(['one', 'two', 'three'])
    expect(texts(await readAll(adapter, 'brief'))).toEqual(['three'])
    clock.set(7_200_000)
    expect(texts(await readAll(adapter, topic))).toEqual(['one', 'two', 'three'])
    await both('four')
    expect(texts(await readAll(adapter, topic))).toEqual(['four'])
    expect((await readAll(adapter, topic))[0]!.position).toBe('3')
  })
})

describe('positions', () => {
  it('that are ahead of the log are lost, not waited for', async () => {
    const adapter = await open(folder())
    const producer = await prepare(adapter, { topic, partitions: 1 })
    await send(producer, record(topic, 'only'))
    await expect(readAll(adapter, topic, 0, { after: '1' })).rejects.toMatchObject({ code: 'position-lost' })
    expect(await readAll(adapter, topic, 0, { after: '0' })).toEqual([])
    await expect(readAll(adapter, topic, 0, { after: 'x1' })).rejects.toMatchObject({ code: 'bad-config' })
  })

  it('compare by number', async () => {
    const { comparePositions } = await open(folder())
    expect(Math.sign(comparePositions('9', '10'))).toBe(-1)
    expect(comparePositions('9007199254740991', '9007199254740990')).toBe(1)
    expect(comparePositions('7', '7')).toBe(0)
  })
})

describe('compaction', () => {
  const options = { compactAfter: 20_000 }
  const keyed = (key: string | null, value: string | null): ReturnType<typeof record> =>
    record(topic, value, { key: key === null ? null : Buffer.from(key) })
  const latest = (records: readonly RawRecord[]): Record<string, string> =>
    Object.fromEntries(records.map(read => [Buffer.from(read.key ?? '').toString(), texts([read])[0]!]))

  it('keeps the last record of each key, its offset, and what has no key', async () => {
    const path = folder()
    const adapter = await open(path, options)
    const producer = await prepare(adapter, { topic, partitions: 1, compacted: true })
    // Written once and never again: compaction passes over them many times.
    const early = Array.from({ length: 20 }, (_, index) => keyed(`early-${index}`, index % 5 ? `e${index}` : null))
    const expected = Object.fromEntries(early.map((_, index) => [`early-${index}`, index % 5 ? `e${index}` : '<null>']))
    await send(producer, ...early)
    let sent = early.length
    for (let round = 0; round < 60; round++) {
      const batch = Array.from({ length: 50 }, (_, index) => {
        const key = `key-${(round * 7 + index * 3) % 100}`
        const value = (round + index) % 11 === 0 ? null : `${round}-${index}-${'v'.repeat(30)}`
        expected[key] = value ?? '<null>'
        return keyed(key, value)
      })
      await send(producer, ...batch, keyed(null, `unkeyed ${round}`))
      sent += 51
      await systemEnvironment.turn()
    }
    const rows = inside(path)
    await until('it is compacted', () => Number(rows('SELECT dirty FROM partition_state')[0]!['dirty']) < 20_000)
    const records = await readAll(adapter, topic)
    expect(records.length).toBeLessThan(sent / 3)
    expect(latest(records.filter(({ key }) => key !== null))).toEqual(expected)
    expect(texts(records.filter(({ key }) => key === null))).toEqual(
      Array.from({ length: 60 }, (_, round) => `unkeyed ${round}`)
    )
    const offsets = records.map(({ position }) => Number(position))
    expect(offsets).toEqual(offsets.toSorted((left, right) => left - right))
    expect(new Set(offsets).size).toBe(offsets.length)
    expect(offsets.at(-1)).toBe(sent - 1)
    const state = rows('SELECT bytes, (SELECT sum(size) FROM batch) AS sum FROM partition_state')[0]!
    expect(state['bytes']).toBe(state['sum'])
    // Every old position is still good: what is behind it is what is left of it.
    for (const after of [0, 51, 777, sent - 2, sent - 1])
      expect(texts(await readAll(adapter, topic, 0, { after: String(after) }, 2_000))).toEqual(
        texts(records.filter(({ position }) => Number(position) > after))
      )
  })

  it('may be done by two processes at once, while a third reads', async () => {
    const path = folder()
    const adapters = [await open(path, options), await open(path, options)]
    await adapters[0]!.admin().createTopic({ topic, partitions: 1, compacted: true })
    const producers = await Promise.all(adapters.map(adapter => adapter.producer()))
    const reader = await adapters[0]!.partitionReader!({
      topic,
      partition: 0,
      from: 'earliest',
      readCommitted: true,
      maxBytes: 3_000
    })
    const seen: RawRecord[] = []
    let done = false
    const reading = (async () => {
      for (;;) {
        const { records, atEnd } = await reader.receive({ wait: 20 })
        seen.push(...records)
        if (done && atEnd) return
      }
    })()
    await send(producers[0]!, ...Array.from({ length: 20 }, (_, index) => keyed(`early-${index}`, 'e')))
    await Promise.all(
      producers.map(async (producer, which) => {
        for (let round = 0; round < 80; round++) {
          const batch = Array.from({ length: 20 }, (_, index) =>
            keyed(`${which}/${index}`, `${round} ${'v'.repeat(40)}`)
          )
          await send(producer, ...batch)
        }
      })
    )
    done = true
    await reading
    const early = Array.from({ length: 20 }, (_, index) => [`early-${index}`, 'e'] as const)
    const late = [0, 1].flatMap(which =>
      Array.from({ length: 20 }, (_, index) => [`${which}/${index}`, `79 ${'v'.repeat(40)}`] as const)
    )
    const expected = Object.fromEntries([...early, ...late])
    expect(latest(seen)).toEqual(expected)
    expect(latest(await readAll(adapters[1]!, topic))).toEqual(expected)
    const rows = inside(path)
    await until('it is compacted', () => Number(rows('SELECT dirty FROM partition_state')[0]!['dirty']) < 20_000)
    expect((await readAll(adapters[1]!, topic)).length).toBeLessThan(1_500)
  })
})

describe('a deleted topic', () => {
  it('is deleted to the last row, what a crash has left of another one, too', async () => {
    const path = folder()
    const adapter = await open(path)
    const producer = await prepare(adapter, { topic, partitions: 2 })
    await prepare(adapter, { topic: 'others', partitions: 1 })
    for (let batch = 0; batch < 700; batch++) void producer.send([record(topic, 'x', { partition: batch % 2 })])
    await send(producer, record('others', 'stays'))
    const rows = inside(path)
    // As if it had been killed in between: the topic is gone, its batches are not.
    rows("INSERT INTO partition_state SELECT 999, 0, 0, 1, 1, 0, 0 FROM topic WHERE name = 'others'")
    rows("INSERT INTO batch SELECT NULL, 999, 0, 0, 0, 0, 0, 1, x'00' FROM topic WHERE name = 'others'")
    await adapter.admin().deleteTopic(topic)
    expect(rows('SELECT DISTINCT topic FROM batch')).toEqual(rows('SELECT id AS topic FROM topic'))
    expect(rows('SELECT DISTINCT topic FROM partition_state')).toEqual(rows('SELECT id AS topic FROM topic'))
    await adapter.admin().createTopic({ topic, partitions: 1 })
    expect(await readAll(adapter, topic)).toEqual([])
    expect(texts(await readAll(adapter, 'others'))).toEqual(['stays'])
  })
})
