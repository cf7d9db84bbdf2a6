import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { networkFileSystem } from '../../src/core/network-file-system.ts'
import { SqliteStore, type WithCommit } from '../../src/exactly-once/index.ts'
import { commitOf, output, row, rowsOf, task, unsentOf } from './stores.ts'

const disk = vi.hoisted(() => ({ type: undefined as number | undefined }))
vi.mock('node:fs', async original => {
  const fs = await original<typeof import('node:fs')>()
  return { ...fs, statfsSync: (path: string) => ({ ...fs.statfsSync(path), ...(disk.type && { type: disk.type }) }) }
})

const cleanUps: (() => Promise<void>)[] = []
afterEach(async () => {
  disk.type = undefined
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function fileIn(...names: string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-store-'))
  cleanUps.push(() => rm(folder, { recursive: true, force: true }))
  return join(folder, ...names)
}

async function opened(path: string): Promise<SqliteStore> {
  const store = await SqliteStore.open(path)
  cleanUps.push(() => store.close())
  return store
}

describe('the file of a SqliteStore', () => {
  it('is made with its folder, with a log whose syncs are ours', async () => {
    const { database } = await opened(await fileIn('deep', 'er', 'commits.db'))
    expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' })
    expect(database.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 1 })
  })

  it('is refused as corrupt, by its name, when it is no database', async () => {
    const path = await fileIn('commits.db')
    await writeFile(path, 'this is no database at all, and long enough to be read as one '.repeat(50))
    await expect(SqliteStore.open(path)).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining(path)
    })
  })

  it('is refused when a newer release has written it', async () => {
    const path = await fileIn('commits.db')
    const store = await SqliteStore.open(path)
    store.database.exec('UPDATE tidemark_version SET version = version + 1')
    await store.close()
    await expect(SqliteStore.open(path)).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining('newer release')
    })
  })

  it('is named when its folder cannot be made', async () => {
    const file = await fileIn('file')
    await writeFile(file, '')
    await expect(SqliteStore.open(join(file, 'commits.db'))).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining('cannot be opened')
    })
  })

  it.runIf(process.platform === 'linux')('is refused on a network file system, with the way out', async () => {
    const path = await fileIn('commits.db')
    disk.type = 0x6969
    await expect(SqliteStore.open(path)).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringMatching(/network file system \(NFS\).*use a local disk/)
    })
    // In memory there is no file.
    await (await SqliteStore.open(':memory:')).close()
    disk.type = undefined
    await opened(path)
  })
})

describe('a network file system', () => {
  it.each([
    [0x6969, 'NFS'],
    [0x517b, 'SMB'],
    // As some platforms sign the number.
    [0xff534d42 | 0, 'CIFS'],
    [0xfe534d42, 'SMB2'],
    [0x00c36400, 'Ceph']
  ])('%i is %s on Linux', (type, name) => {
    expect(networkFileSystem(type, 'linux')).toBe(name)
    expect(networkFileSystem(type, 'darwin')).toBe(undefined)
  })

  it.each([
    ['ext', 0xef53],
    ['tmpfs', 0x01021994],
    ['overlayfs', 0x794c7630],
    ['FUSE, which may be local', 0x65735546]
  ])('is not %s', (_, type) => expect(networkFileSystem(type, 'linux')).toBe(undefined))
})

describe('a SqliteStore', () => {
  it('tells a damaged outbox as corrupt', async () => {
    const store = await opened(':memory:')
    const log = await store.acquire(task)
    await log.append(commitOf(1, { outputs: [output('a')] }))
    store.database.exec("UPDATE tidemark_outbox SET outputs = x'0102'")
    await expect(store.acquire(task)).rejects.toMatchObject({ code: 'corrupt' })
  })

  it('takes back all of an append that fails on the way, and goes on', async () => {
    const store = await opened(':memory:')
    const log = (await store.acquire(task)) as Awaited<ReturnType<SqliteStore['acquire']>> & {
      withCommit: WithCommit | undefined
    }
    await log.append(commitOf(1, { state: [row('a', '1')] }))
    log.withCommit = database => {
      database.exec("DELETE FROM tidemark_state; UPDATE tidemark_head SET token = 'torn'")
      throw new Error('the sink has no room')
    }
    await expect(log.append(commitOf(2, { state: [row('b', '2')], outputs: [output('x')] }))).rejects.toThrow('no room')
    log.withCommit = undefined
    expect(await log.append(commitOf(2, { state: [row('c', '3')] }))).toBe('ok')
    const next = await store.acquire(task)
    expect(await rowsOf(next)).toEqual(['total a 1', 'total c 3'])
    expect(unsentOf(next)).toEqual([])
  })

  it('gives up the event loop in a large append, and lets nobody slip into its transaction', async () => {
    const store = await opened(':memory:')
    const log = await store.acquire(task)
    let turns = 0
    let over = false
    const count = (): void => void (over || (turns++, setImmediate(count)))
    setImmediate(count)
    const rows = Array.from({ length: 5_000 }, (_, index) => row(`k${index}`, `${index}`))
    const appending = log.append(commitOf(1, { state: rows }))
    expect(await appending).toBe('ok')
    expect(turns).toBeGreaterThanOrEqual(5)
    over = true
    // What is asked for in the middle of an append that is taken back is none of it.
    const bad = { ...row('bad', ''), value: Symbol('no bytes') as never }
    const failing = log.append(commitOf(2, { state: [...rows, bad] }))
    failing.catch(() => {}) // told below
    await new Promise(resolve => setImmediate(resolve))
    expect(store.database.isTransaction).toBe(true)
    const taken = store.take('scope', '0', 'me', undefined)
    const stored = store.storePositions('group', [{ topic: 't', partition: 0, position: '7' }])
    await expect(failing).rejects.toThrow()
    expect([await taken, await stored]).toEqual([true, true])
    expect(await store.leases('scope')).toMatchObject([{ name: '0', owner: 'me' }])
    expect(await store.positions('group', 't')).toEqual(new Map([[0, '7']]))
    expect(await log.append(commitOf(2, { state: [row('k0', 'new')] }))).toBe('ok')
  })

  it('keeps the stores of a process apart: who waits for one file holds no other', async () => {
    const [commits, sink] = [await opened(await fileIn('commits.db')), await opened(await fileIn('rows.db'))]
    const order: string[] = []
    const first = commits.transaction(async () => {
      order.push('first begins')
      await new Promise(resolve => setImmediate(resolve))
      order.push('first ends')
    })
    await Promise.all([first, sink.transaction(() => order.push('second'))])
    expect(order).toEqual(['first begins', 'first ends', 'second'])
  })

  it('says that it is busy to who may try again, and leases and positions with it', async () => {
    const path = await fileIn('commits.db')
    const [store, other] = [await opened(path), await opened(path)]
    store.database.exec('PRAGMA busy_timeout = 5')
    await store.take('g', '0', 'one', undefined)
    const [seen] = await store.leases('g')
    other.database.exec('BEGIN IMMEDIATE')
    const busy = { code: 'timeout', retryable: true, message: expect.stringContaining(path) }
    for (const call of [
      () => store.acquire(task),
      () => store.take('g', '0', 'one', seen),
      () => store.beat('g', 'one'),
      () => store.ask('g', '0', 'two'),
      () => store.release('g', '0', 'one'),
      () => store.remove('g', '0', seen!),
      () => store.storePositions('g', [{ topic: 't', partition: 0, position: '1' }])
    ])
      await expect(call()).rejects.toMatchObject(busy)
    // Who reads need not wait.
    expect(await store.leases('g')).toEqual([seen])
    other.database.exec('ROLLBACK')
    await store.beat('g', 'one')
    expect((await store.leases('g'))[0]!.beat).toBe(2)
  })
})
