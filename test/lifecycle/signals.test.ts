/** SIGTERM at real processes: what they do until they are gone, and what the next one finds. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { connect, number, text, topic } from '../../src/index.ts'

const doubled = topic('doubled', { key: text, value: number })

interface Said {
  readonly ready?: boolean
  readonly seen?: number
  readonly hanging?: boolean
  readonly ended?: boolean
  readonly failed?: string
  readonly closed?: boolean
  readonly left?: readonly string[]
}

class Child {
  readonly said: Said[] = []
  readonly process: ChildProcess
  readonly ended: Promise<{ code: number | null; signal: string | null; at: number }>
  #news: () => void = () => {}

  constructor(folder: string, mode: string) {
    const worker = fileURLToPath(new URL('worker.ts', import.meta.url))
    this.process = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', worker, folder, mode], {
      stdio: ['ignore', 'pipe', 'inherit']
    })
    createInterface({ input: this.process.stdout! }).on('line', line => {
      this.said.push(JSON.parse(line) as Said)
      this.#news()
    })
    this.ended = once(this.process, 'close').then(([code, signal]) => ({ code, signal, at: performance.now() }))
    void this.ended.then(() => this.#news())
  }

  async until(is: (said: Said) => boolean): Promise<void> {
    while (!this.said.some(is)) {
      if (this.process.exitCode !== null) throw new Error(`it has ended: ${JSON.stringify(this.said)}`)
      await new Promise<void>(resolve => (this.#news = resolve))
    }
  }
}

describe('a process that is told to stop', () => {
  let folder: string
  const children: Child[] = []
  const start = (mode: string): Child => {
    const child = new Child(folder, mode)
    children.push(child)
    return child
  }
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidemark-lifecycle-'))
  })
  afterEach(async () => {
    for (const child of children.splice(0)) {
      child.process.kill('SIGKILL')
      await child.ended
    }
    await rm(folder, { recursive: true, force: true })
  })

  /** The values of the output topic until so many different ones were there, in any order, repeats included. */
  async function outputs(count: number): Promise<number[]> {
    await using client = await connect({ brokers: { default: `file:${folder}` }, variables: {} })
    const found: number[] = []
    const stop = AbortSignal.timeout(20_000)
    for await (const { value } of client.consumer(doubled, { group: 'check', signal: stop })) {
      found.push(value)
      if (new Set(found).size >= count) break
    }
    return found
  }

  it(
    'drains, commits, leaves its group, and gives back its leases: the next one goes on at once',
    { timeout: 60_000 },
    async () => {
      const first = start('steady')
      await first.until(({ seen = 0 }) => seen >= 100)
      const told = performance.now()
      first.process.kill('SIGTERM')
      const end = await first.ended
      expect(end).toMatchObject({ code: 0, signal: null })
      expect(end.at - told).toBeLessThan(5_000)
      expect(first.said.slice(-2)).toMatchObject([{ ended: true }, { closed: true, left: [] }])
      const processed = first.said.reduce((most, { seen = 0 }) => Math.max(most, seen), 0)
      expect(processed).toBeLessThan(600)
      // Sessions and leases are of 30 s: who waits for them to end is late.
      const second = start('steady')
      const started = performance.now()
      await second.until(({ seen = 0 }) => seen >= 50)
      expect(performance.now() - started).toBeLessThan(10_000)
      expect((await second.ended).code).toBe(0)
      const expected = Array.from({ length: 300 }, (_, value) => [value * 2, (value + 1_000) * 2]).flat()
      expect((await outputs(600)).sort((a, b) => a - b)).toEqual(expected.sort((a, b) => a - b))
    }
  )

  it('does not wait for a handler that hangs longer than the deadline, and names it', { timeout: 60_000 }, async () => {
    const child = start('hangs')
    await child.until(({ hanging }) => hanging === true)
    const told = performance.now()
    child.process.kill('SIGTERM')
    const end = await child.ended
    expect(end.code).toBe(1)
    expect(end.at - told).toBeLessThan(1_500 + 3_500)
    expect(child.said.find(({ failed }) => failed)!.failed).toMatch(
      /^stopped without waiting for handlers that do not come back: partition \d of stage 'double' has been handling a record \(numbers\/\d at \d+\) for \d+ s/
    )
    const next = start('steady')
    expect((await next.ended).code).toBe(0)
    // What was committed and not yet sent is sent again: readers of this library drop the repeats, this plain one sees them.
    expect(new Set(await outputs(600)).size).toBe(600)
  })

  it.each([
    ['SIGTERM', 143],
    ['SIGINT', 130]
  ] as const)(
    'stops at once at a second %s, and what it leaves is taken up',
    { timeout: 60_000 },
    async (name, code) => {
      const child = start('hangs')
      await child.until(({ hanging }) => hanging === true)
      child.process.kill(name)
      await new Promise(resolve => setTimeout(resolve, 300))
      expect(child.process.exitCode).toBeNull()
      const told = performance.now()
      child.process.kill(name)
      const end = await child.ended
      expect(end).toMatchObject({ code, signal: null })
      expect(end.at - told).toBeLessThan(1_000)
    }
  )
})
