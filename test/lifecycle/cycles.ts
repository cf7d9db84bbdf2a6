/** Connect, run, close, again and again: what stays open, and what grows. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { queryObjects } from 'node:v8'
import { systemEnvironment } from '../../src/core/environment.ts'
import { Client } from '../../src/client.ts'
import { RunHealth } from '../../src/health/index.ts'
import { StageRunner } from '../../src/pipeline/stage-runner.ts'
import { StreamTask } from '../../src/pipeline/stream-task.ts'
import { TaskRunner } from '../../src/pipeline/task-runner.ts'
import { VitalsView } from '../../src/pipeline/vitals-view.ts'
import { TaskState } from '../../src/state/index.ts'
import { openAdapter } from '../../src/open-adapter.ts'
import { connect, number, pipeline, processor, source, text, topic } from '../../src/index.ts'

const numbers = topic('numbers', { key: text, value: number, partitions: 1 })
const doubled = topic('doubled', { key: text, value: number, partitions: 1 })

export interface Growth {
  /** Without those that warm up. */
  readonly cycles: number
  /** Kinds of handles that are open at the end and were not after those that warm up. */
  readonly leaked: readonly string[]
  /** Objects of a client, of its runs and of their tasks that are still there at the end, by class: those that are. */
  readonly alive: Readonly<Record<string, number>>
  /** Listeners on `process` at the end. */
  readonly listeners: number
  /** Bytes of the heap, after some cycles that warm up and at the end, with all topics deleted; 0 without --expose-gc. */
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

/** A memory broker keeps what is written to it, as a server would on its disk: that is not what a client leaves behind. */
async function deleteTopics(url: string): Promise<void> {
  const adapter = await openAdapter('default', url, {})
  await adapter.open(systemEnvironment)
  const admin = adapter.admin()
  for (const name of await admin.listTopics()) await admin.deleteTopic(name)
  await adapter.close()
}

/** What the life of a client is made of. */
const parts = [Client, RunHealth, StageRunner, TaskRunner, StreamTask, TaskState, VitalsView]

/** Counted by the engine, after a collection. */
const alive = (): Record<string, number> =>
  Object.fromEntries(
    parts.flatMap(part => {
      const count = queryObjects(part as never, { format: 'count' }) as unknown as number
      return count > 0 ? [[part.name, count]] : []
    })
  )

const handles = (): string[] => process.getActiveResourcesInfo().sort()

/** @param backend `memory` or `file` */
export async function cycles(backend: 'memory' | 'file', count: number): Promise<Growth> {
  const folder = backend === 'file' ? await mkdtemp(join(tmpdir(), 'tidemark-cycles-')) : ''
  const url = backend === 'file' ? `file:${folder}` : `memory:cycles-${process.pid}`
  try {
    const live = async (at: string, rounds: number): Promise<void> => {
      for (let round = 0; round < rounds; round++) await cycle(at, round)
      await deleteTopics(at)
      await new Promise(resolve => setTimeout(resolve, 200))
    }
    await live(`${url}/warm`, Math.min(20, Math.ceil(count / 4)))
    const [open, before] = [handles(), heap()]
    await live(url, count)
    const left = handles()
    for (const name of open) if (left.includes(name)) left.splice(left.indexOf(name), 1)
    const listeners = process.listenerCount('SIGTERM') + process.listenerCount('SIGINT')
    return { cycles: count, leaked: left, listeners, before, after: heap(), alive: alive() }
  } finally {
    if (folder) await rm(folder, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  const [backend = 'memory', count = '50'] = process.argv.slice(2)
  console.log(JSON.stringify(await cycles(backend as 'memory' | 'file', Number(count))))
}
