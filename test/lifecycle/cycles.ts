/** Connect, run, close, again and again: what stays open, and what grows. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, number, pipeline, processor, source, text, topic } from '../../src/index.ts'

const numbers = topic('numbers', { key: text, value: number, partitions: 1 })
const doubled = topic('doubled', { key: text, value: number, partitions: 1 })

export interface Growth {
  readonly cycles: number
  /** Kinds of handles that are open at the end and were not after the first cycles. */
  readonly leaked: readonly string[]
  /** Listeners on `process` at the end. */
  readonly listeners: number
  /** Bytes of the heap, after the first cycles and at the end; 0 without --expose-gc. */
  readonly before: number
  readonly after: number
}

/** One life of a client: everything that it offers is opened, used and closed. */
async function cycle(url: string, round: number): Promise<void> {
  const client = await connect({ brokers: { default: url }, variables: {} })
  const feed = source({
    name: `feed-${round % 5}`,
    to: numbers,
    *run({ resume }) {
      const from = ((resume as number | undefined) ?? 0) + 1
      for (let value = from; value < from + 5; value++) yield { key: 'k', value, cursor: value }
    }
  })
  const stop = new AbortController()
  let seen = 0
  const double = processor({
    name: 'double',
    from: numbers,
    to: doubled,
    process: ({ key, value }) => {
      if (++seen >= 5) stop.abort()
      return { key, value }
    }
  })
  // Ended by the source on the first rounds, by the signal on the others.
  const producer = await client.producer(numbers)
  for (let value = 0; value < 5; value++) await producer.send({ key: 'k', value })
  await client.run(pipeline(`cycles-${round % 5}`, [feed, double]), { signal: stop.signal, drainTimeout: 5_000 })
  for await (const _ of client.consumer(doubled, { group: 'check' })) break
  client.health()
  await client.close()
}

const heap = (): number => {
  const collect = (globalThis as { gc?: () => void }).gc
  if (!collect) return 0
  for (let round = 0; round < 3; round++) collect()
  return process.memoryUsage().heapUsed
}

const handles = (): string[] => process.getActiveResourcesInfo().sort()

/** @param backend `memory` or `file` */
export async function cycles(backend: 'memory' | 'file', count: number): Promise<Growth> {
  const folder = backend === 'file' ? await mkdtemp(join(tmpdir(), 'tidemark-cycles-')) : ''
  const url = backend === 'file' ? `file:${folder}` : `memory:cycles-${process.pid}`
  try {
    const warm = Math.min(20, Math.ceil(count / 4))
    for (let round = 0; round < warm; round++) await cycle(url, round)
    await new Promise(resolve => setTimeout(resolve, 200))
    const [open, before] = [handles(), heap()]
    for (let round = warm; round < count; round++) await cycle(url, round)
    await new Promise(resolve => setTimeout(resolve, 200))
    const left = handles()
    for (const name of open) if (left.includes(name)) left.splice(left.indexOf(name), 1)
    const listeners = process.listenerCount('SIGTERM') + process.listenerCount('SIGINT')
    return { cycles: count, leaked: left, listeners, before, after: heap() }
  } finally {
    if (folder) await rm(folder, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  const [backend = 'memory', count = '50'] = process.argv.slice(2)
  console.log(JSON.stringify(await cycles(backend as 'memory' | 'file', Number(count))))
}
