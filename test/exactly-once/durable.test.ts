import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { SqliteStore } from '../../src/exactly-once/index.ts'
import { systemEnvironment } from '../../src/core/environment.ts'
import { Checkpointer, logLimit } from '../../src/exactly-once/stores/checkpointer.ts'
import { commitOf, row, task } from './stores.ts'

/** The disk: syncs that are asked for, and what becomes of them. */
const disk = vi.hoisted(() => ({ syncs: [] as PromiseWithResolvers<void>[], held: false }))
vi.mock('node:fs/promises', async original => {
  const fs = await original<typeof import('node:fs/promises')>()
  return {
    ...fs,
    async open(...parameters: Parameters<typeof fs.open>) {
      const handle = await fs.open(...parameters)
      const datasync = handle.datasync.bind(handle)
      handle.datasync = async () => {
        if (disk.held) {
          const sync = Promise.withResolvers<void>()
          disk.syncs.push(sync)
          await sync.promise
        }
        return datasync()
      }
      return handle
    }
  }
})
const cleanUps: (() => Promise<void>)[] = []
afterEach(async () => {
  disk.held = false
  for (const { resolve } of disk.syncs.splice(0)) resolve()
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function opened(): Promise<{ store: SqliteStore; path: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-durable-'))
  cleanUps.push(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'commits.db')
  const store = await SqliteStore.open(path)
  cleanUps.push(() => store.close())
  return { store, path }
}

const asked = (count: number): Promise<void> => vi.waitFor(() => expect(disk.syncs).toHaveLength(count))

describe('a commit in SQLite', () => {
  it('is acknowledged when the disk has it, and not before', async () => {
    const { store } = await opened()
    const log = await store.acquire(task)
    disk.held = true
    let acknowledged = ''
    const first = log.append(commitOf(1)).then(() => (acknowledged += '1'))
    await asked(1)
    // Written, but not to the disk: nobody may build on it, nor may whoever takes over.
    expect((await rowsOf(store))['number']).toBe(1)
    const taken = store.acquire({ ...task, id: 'p/s/2' }).then(() => (acknowledged += 'a'))
    const read = log.readBack().then(() => (acknowledged += 'r'))
    await new Promise(resolve => setImmediate(resolve))
    expect(acknowledged).toBe('')
    disk.syncs[0]!.resolve()
    await first
    // The sync that was under way may have missed what was written after it began: these two wait for one more, together.
    expect(acknowledged).toBe('1')
    await asked(2)
    disk.syncs[1]!.resolve()
    await Promise.all([taken, read])
    expect(disk.syncs).toHaveLength(2)
  })

  it('is never acknowledged by a disk that has failed once', async () => {
    const { store } = await opened()
    const log = await store.acquire(task)
    disk.held = true
    const failing = log.append(commitOf(1))
    await asked(1)
    disk.syncs[0]!.reject(new Error('EIO: i/o error'))
    await expect(failing).rejects.toMatchObject({ code: 'internal', message: expect.stringContaining('i/o error') })
    disk.held = false
    await expect(log.append(commitOf(2))).rejects.toMatchObject({ code: 'internal' })
    await expect(log.readBack()).rejects.toMatchObject({ code: 'internal' })
  })

  it('keeps its log small, also while it is written to', async () => {
    const { store, path } = await opened()
    const log = await store.acquire(task)
    const value = 'x'.repeat(1024 * 1024)
    let largest = 0
    for (let number = 1; number <= 60; number++) {
      await log.append(commitOf(number, { state: [row(`key ${number % 3}`, value)] }))
      largest = Math.max(largest, (await stat(`${path}-wal`)).size)
    }
    expect(largest).toBeLessThan(48 * 1024 * 1024)
    expect(store.database.prepare('PRAGMA wal_autocheckpoint').get()).toEqual({ wal_autocheckpoint: 0 })
  })

  it('leaves its log to SQLite where a thread cannot work', async () => {
    const failed = vi.fn()
    const path = join(tmpdir(), 'tidemark-no-such-folder', 'commits.db')
    const checkpointer = new Checkpointer(path, systemEnvironment, body => body(), failed)
    checkpointer.grown(logLimit)
    checkpointer.grown(logLimit + 1)
    await vi.waitFor(() => expect(failed).toHaveBeenCalledOnce())
    checkpointer.grown(logLimit + 1)
    await checkpointer.close()
    expect(failed).toHaveBeenCalledOnce()
  })
})

async function rowsOf({ database }: SqliteStore): Promise<Record<string, unknown>> {
  return database.prepare('SELECT number FROM tidemark_head').get()!
}
