import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SqliteStore } from '../../src/exactly-once/index.ts'
import { rowsOf, task, unsentOf } from './stores.ts'

const script = fileURLToPath(new URL('./sqlite-process.ts', import.meta.url))
let path = ''
let folder = ''
const children: ChildProcess[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-processes-'))
  path = join(folder, 'commits.db')
})

afterEach(async () => {
  for (const child of children.splice(0))
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
  await rm(folder, { recursive: true, force: true })
})

interface Message {
  readonly acquired?: number
  readonly committed?: number
  readonly ended?: string
  readonly number?: number
}

/** A child, and a way to wait for what it says. */
function start(
  name: string,
  commits = ''
): { child: ChildProcess; said: Message[]; until(what: (message: Message) => boolean): Promise<Message> } {
  const child = fork(script, [path, name, commits], { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  children.push(child)
  const said: Message[] = []
  const waiting = new Set<() => void>()
  child.on('message', message => {
    said.push(message as Message)
    for (const look of waiting) look()
  })
  const until = (what: (message: Message) => boolean): Promise<Message> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const found = said.find(what)
        if (!found) return
        waiting.delete(look)
        resolve(found)
      }
      waiting.add(look)
      child.once(
        'exit',
        () => (look(), reject(new Error(`'${name}' ended without it; it said ${JSON.stringify(said.slice(-3))}`)))
      )
      look()
    })
  return { child, said, until }
}

async function checkChain(): Promise<number> {
  const store = await SqliteStore.open(path)
  const log = await store.acquire(task)
  const { number } = log.last!
  expect(await rowsOf(log)).toEqual([`total counter ${number}`])
  expect(unsentOf(log)).toEqual(Array.from({ length: number }, (_, index) => `${index + 1} ${index + 1}`))
  await store.close()
  return number
}

describe('processes that share one SQLite file', () => {
  it('lose no acknowledged commit by kill -9, and go on where it was', async () => {
    let acknowledged = 0
    for (let round = 0; round < 4; round++) {
      const { child, said, until } = start(`round ${round}`)
      const { number } = await until(message => message.acquired !== undefined)
      expect(number).toBeGreaterThanOrEqual(acknowledged)
      await until(message => (message.committed ?? 0) >= (number ?? 0) + 10 + round * 7)
      child.kill('SIGKILL')
      await once(child, 'exit')
      acknowledged = Math.max(...said.map(message => message.committed ?? 0))
    }
    expect(await checkChain()).toBeGreaterThanOrEqual(acknowledged)
  }, 60_000)

  it('fence each other: one history, whoever takes over', async () => {
    const first = start('first')
    await first.until(message => (message.committed ?? 0) >= 5)
    const second = start('second')
    const fenced = await first.until(message => message.ended !== undefined)
    expect(fenced.ended).toBe('fenced')
    await second.until(message => (message.committed ?? 0) > (fenced.number ?? 0) + 5)
    second.child.kill('SIGKILL')
    await once(second.child, 'exit')
    expect(await checkChain()).toBeGreaterThan(fenced.number!)
  }, 60_000)

  it('may open a new file at the same time', async () => {
    const started = Array.from({ length: 6 }, (_, index) => start(`opener ${index}`, '3'))
    await Promise.all(started.map(({ child }) => once(child, 'exit')))
    expect(started.map(({ child }) => child.exitCode)).toEqual(started.map(() => 0))
    const epochs = started.map(({ said }) => said[0]!.acquired)
    expect(new Set(epochs).size).toBe(6)
    await checkChain()
  }, 60_000)
})
