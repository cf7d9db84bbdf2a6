import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { cached, cacheDirectory, isCached } from '../../testcontainers/support/cache.ts'
import { firstLine } from './client.ts'

const user = fileURLToPath(new URL('./cache-user.ts', import.meta.url))
let root: string

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'tidemark-cache-'))
  vi.stubEnv('TIDEMARK_CACHE', root)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(root, { recursive: true })
})

const fetch = vi.fn(async (directory: string) => {
  await writeFile(join(directory, 'one.jar'), 'one')
  await writeFile(join(directory, 'two.jar'), 'two')
})

test('is where the environment says', () => {
  expect(cacheDirectory()).toBe(root)
  vi.stubEnv('TIDEMARK_CACHE', '')
  vi.stubEnv('XDG_CACHE_HOME', '/caches')
  expect(cacheDirectory()).toBe(join('/caches', 'tidemark'))
  vi.stubEnv('XDG_CACHE_HOME', '')
  expect(cacheDirectory()).toMatch(/[/\\]\.cache[/\\]tidemark$/)
})

test('fetches once', async () => {
  fetch.mockClear()
  expect(await isCached('thing-1')).toBe(false)
  const directory = await cached('thing-1', fetch)
  expect(await cached('thing-1', fetch)).toBe(directory)
  expect(await isCached('thing-1')).toBe(true)
  expect(fetch).toHaveBeenCalledTimes(1)
})

test.each([
  ['shorter', (path: string) => writeFile(path, 'tw')],
  ['changed', (path: string) => writeFile(path, 'owt')],
  ['missing', (path: string) => rm(path)]
])('fetches again when a file is %s', async (_, damage) => {
  const directory = await cached('thing-1', fetch)
  await damage(join(directory, 'two.jar'))
  expect(await isCached('thing-1')).toBe(false)
  await cached('thing-1', fetch)
  expect(await readFile(join(directory, 'two.jar'), 'utf8')).toBe('two')
})

test('keeps nothing of a fetch that failed', async () => {
  const broken = cached('thing-1', async directory => {
    await writeFile(join(directory, 'one.jar'), 'one')
    throw new Error('no network')
  })
  await expect(broken).rejects.toThrow('no network')
  expect(await readdir(root)).toEqual(['thing-1.lock'])
  await cached('thing-1', fetch)
  expect(await isCached('thing-1')).toBe(true)
})

test('is fetched by one of several processes, and the others wait for it', async () => {
  const notes = join(root, 'notes')
  const users = Array.from({ length: 4 }, () => spawn(process.execPath, [user, 'thing-1', notes]))
  expect(new Set(await Promise.all(users.map(firstLine)))).toEqual(new Set([join(root, 'thing-1')]))
  expect((await readFile(notes, 'utf8')).trim().split('\n')).toHaveLength(1)
  expect(await readFile(join(root, 'thing-1', 'one.jar'), 'utf8')).toBe('whole')
})

test('is fetched by the next process when the first is killed half way', async () => {
  const notes = join(root, 'notes')
  const first = spawn(process.execPath, [user, 'thing-1', notes])
  await expect.poll(() => readFile(notes, 'utf8').catch(() => ''), { timeout: 10_000 }).not.toBe('')
  first.kill('SIGKILL')
  await once(first, 'exit')
  expect(await isCached('thing-1')).toBe(false)
  const second = spawn(process.execPath, [user, 'thing-1', notes])
  expect(await firstLine(second)).toBe(join(root, 'thing-1'))
  expect(await readFile(join(root, 'thing-1', 'one.jar'), 'utf8')).toBe('whole')
})
