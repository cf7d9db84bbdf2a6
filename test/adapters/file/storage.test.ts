import { mkdirSync, readdirSync, truncateSync, writeFileSync, openSync, writeSync, closeSync, statSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { refuseNetwork } from '../../../src/adapters/file/database.ts'
import { file, fromUrl, type FileAdapter, type FileOptions } from '../../../src/adapters/file/index.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import { StreamError } from '../../../src/core/errors.ts'
import { folder, open, prepare, readAll, record, send, texts } from './support.ts'

const topic = 'words'

async function failure(call: () => unknown): Promise<StreamError> {
  try {
    await call()
  } catch (error) {
    if (StreamError.is(error)) return error
    throw error
  }
  throw new Error('it did not fail')
}

/** What opening a folder says. */
async function refusal(path: string, options: Partial<FileOptions> = {}): Promise<StreamError> {
  return failure(() => open(path, options))
}

describe('the folder', () => {
  it('may have any name that the file system takes', async () => {
    for (const name of ['größe 🌊', 'with space', "quote' and %41", 'a?b#c', 'deep/er/still']) {
      const path = folder(name)
      const producer = await prepare(await open(path), { topic, partitions: 1 })
      await send(producer, record(topic, name))
      // The same place by its URL, and relative to here.
      const url = await openUrl(pathToFileURL(path).href)
      expect(texts(await readAll(url, topic))).toEqual([name])
      const near = relative(process.cwd(), path).split('/').map(encodeURIComponent).join('/')
      expect(texts(await readAll(await openUrl(`file:${near}`), topic))).toEqual([name])
      expect(url.location).toBe(`file:${path}`)
    }
  })

  it('holds what was written after everybody has closed', async () => {
    const path = folder()
    const adapter = await open(path)
    await send(await prepare(adapter, { topic, partitions: 1 }), record(topic, 'kept'))
    await adapter.close()
    expect(readdirSync(path)).toEqual(['log.db'])
    expect(texts(await readAll(await open(path), topic))).toEqual(['kept'])
  })

  it('that cannot be one is refused with the reason', async () => {
    const path = folder('taken')
    writeFileSync(path, 'a file')
    for (const wrong of [path, join(path, 'below'), join(path, 'n'.repeat(300))]) {
      const error = await refusal(wrong)
      expect([error.code, error.retryable]).toEqual(['bad-config', false])
      expect(error.message).toContain('must name a folder')
      expect(error.message).toContain(wrong)
    }
  })

  it('on a network is refused, where that can be seen', () => {
    expect(() => refuseNetwork('/mnt', 0x6969, 'linux')).toThrow(/network file system \(NFS\).*local disk/)
    expect(() => refuseNetwork('/mnt', -11317950, 'linux')).toThrow(/CIFS/)
    refuseNetwork('/mnt', 0xef53, 'linux')
    refuseNetwork('/mnt', 0x6969, 'darwin')
  })
})

async function openUrl(url: string): Promise<FileAdapter> {
  const { path, ...options } = fromUrl(url)
  return open(path, options)
}

describe('a file that is not what it should be', () => {
  it('is refused when it is no database', async () => {
    const path = folder()
    mkdirSync(path)
    writeFileSync(join(path, 'log.db'), 'this is a text, and a long one: '.repeat(100))
    const error = await refusal(path)
    expect([error.code, error.retryable]).toEqual(['corrupt', false])
    expect(error.message).toMatch(/no database: restore the folder from a copy, or name another/)
  })

  it('is refused when it belongs to another program, and is left as it was', async () => {
    const path = folder()
    mkdirSync(path)
    const other = new DatabaseSync(join(path, 'log.db'))
    other.exec('CREATE TABLE mine (text TEXT)')
    other.close()
    const before = statSync(join(path, 'log.db')).mtimeMs
    const error = await refusal(path)
    expect(error.code).toBe('corrupt')
    expect(error.message).toMatch(/another program: name another folder/)
    expect(statSync(join(path, 'log.db')).mtimeMs).toBe(before)
  })

  it('is refused when a newer release wrote it', async () => {
    const path = folder()
    await (await open(path)).close()
    const database = new DatabaseSync(join(path, 'log.db'))
    database.exec('PRAGMA user_version = 99')
    database.close()
    const error = await refusal(path)
    expect(error.code).toBe('corrupt')
    expect(error.message).toMatch(/newer release \(format 99, this one reads 1\): update/)
  })

  it('is corrupt when it was cut off, at the latest when that part is read', async () => {
    const path = folder()
    const adapter = await open(path)
    const producer = await prepare(adapter, { topic, partitions: 1 })
    for (let batch = 0; batch < 50; batch++) await send(producer, record(topic, 'x'.repeat(20_000)))
    await adapter.close()
    truncateSync(join(path, 'log.db'), 300_000)
    const error = await failure(async () => readAll(await open(path), topic))
    expect([error.code, error.retryable]).toEqual(['corrupt', false])
    expect(error.message).toMatch(/restore the folder from a copy/)
  })

  it('is corrupt where a payload was changed on the disk', async () => {
    const path = folder()
    const adapter = await open(path)
    const producer = await prepare(adapter, { topic, partitions: 1 })
    await send(producer, record(topic, 'good'))
    await send(producer, record(topic, 'x'.repeat(50_000)))
    await adapter.close()
    const database = openSync(join(path, 'log.db'), 'r+')
    writeSync(database, 'y', statSync(join(path, 'log.db')).size - 20_000)
    closeSync(database)
    const again = await open(path)
    const error = await failure(() => readAll(again, topic))
    expect(error.code).toBe('corrupt')
    expect(error.message).toMatch(/batch at offset 1 has a wrong checksum/)
  })
})

describe('options', () => {
  it('come from a URL', () => {
    expect(fromUrl('file:./data')).toEqual({ path: './data' })
    expect(fromUrl('file:/var/lib/orders')).toEqual({ path: '/var/lib/orders' })
    expect(fromUrl('file:///var/lib/orders')).toEqual({ path: '/var/lib/orders' })
    expect(fromUrl('file:a%20b/%3F')).toEqual({ path: 'a b/?' })
    expect(fromUrl('file:./data?retentionTime=60000&synchronous=normal')).toEqual({
      path: './data',
      retentionTime: 60_000,
      synchronous: 'normal'
    })
  })

  it('that are wrong are refused with what to write', () => {
    const wrong: [() => unknown, RegExp][] = [
      [() => fromUrl('file:'), /names no folder: write file:\.\/data/],
      [() => fromUrl('file:///'), /names no folder/],
      [() => fromUrl('file://host/share'), /names a host/],
      [() => fromUrl('file:./100%'), /is no path/],
      [() => fromUrl('file:./data?pollInterval=often'), /'pollInterval' must be a number/],
      [() => file(fromUrl('file:./data?retention=1')), /unknown option 'retention'; known are path/],
      [() => file({ path: '' }), /'path' names the folder/],
      [() => file({ path: 'a\0b' }), /zero byte/],
      [() => file({ path: 'a', pollInterval: 0 }), /'pollInterval' must be 1 or more, got 0/],
      [() => file({ path: 'a', retentionTime: -5 }), /'retentionTime' must be 1 or more/],
      [() => file({ path: 'a', synchronous: 'off' as 'full' }), /must be one of full, normal/]
    ]
    for (const [call, message] of wrong) {
      expect(call).toThrow(message)
      expect(call).toThrow(expect.objectContaining({ code: 'bad-config' }))
    }
  })

  it('of a topic are its retention, and nothing else', async () => {
    const admin = (await open(folder())).admin()
    const create = (settings: Record<string, string>): Promise<void> =>
      admin.createTopic({ topic, partitions: 1, settings })
    await expect(create({ 'retention.ms': '1' })).rejects.toThrow(/unknown setting 'retention\.ms'; known are/)
    await expect(create({ retentionTime: 'long' })).rejects.toThrow(/must be a number/)
    await expect(create({ retentionBytes: '0' })).rejects.toThrow(/must be above 0/)
    await expect(admin.createTopic({ topic, partitions: 0 })).rejects.toThrow(/must be 1 to 4096/)
    expect(await admin.listTopics()).toEqual([])
  })
})

describe('the life of an adapter', () => {
  it('ends with close: nothing keeps the process alive, nothing is left open', async () => {
    const path = folder()
    const adapter = file({ path })
    await adapter.open(systemEnvironment)
    await prepare(adapter, { topic, partitions: 1 })
    const reader = await adapter.logReader!({ group: 'g', topics: [topic], sessionTimeout: 1000, maxBytes: 1000 })
    const waiting = [
      reader.receive({ wait: 60_000 }),
      (
        await adapter.partitionReader!({ topic, partition: 0, from: 'earliest', readCommitted: true, maxBytes: 1000 })
      ).receive({ wait: 60_000 })
    ]
    await reader.receive({ wait: 0 }).catch(() => {})
    const ended = Promise.allSettled(waiting)
    await Promise.all([adapter.close(), adapter.close()])
    expect((await ended)[1]).toMatchObject({ status: 'rejected', reason: { code: 'closed' } })
    expect(process.getActiveResourcesInfo().filter(name => name === 'Timeout').length).toBeLessThanOrEqual(1)
    await expect(adapter.producer()).rejects.toMatchObject({ code: 'closed' })
    await expect(adapter.open(systemEnvironment)).rejects.toMatchObject({ code: 'closed' })
    expect(resolve(path)).toBe(path)
  })

  it('waits for what is being sent', async () => {
    const path = folder()
    const adapter = await open(path)
    const producer = await prepare(adapter, { topic, partitions: 1 })
    const sending = producer.send([record(topic, 'last')])
    await adapter.close()
    expect((await sending)[0]).toEqual({ ok: true, position: '0' })
    expect(texts(await readAll(await open(path), topic))).toEqual(['last'])
  })
})
