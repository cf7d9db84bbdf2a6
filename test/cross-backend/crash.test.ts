/** From one broker to another, whose transactions have nothing in common: a worker is killed half way, and each effect is there once. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { pipeline, sink } from '../../src/index.ts'
import { checkHistory, type SeenEffect } from '../../src/testing/index.ts'
import { chainOf, connected, type Job } from './job.ts'

const servers = {
  kinesis: inject('kinesis'),
  kafka: inject('kafka'),
  pubsub: inject('pubsub'),
  pulsar: inject('pulsar')
}
type Backend = keyof typeof servers

const records = 400
/** No progress for so long is a hang, on however slow a machine, ms. */
const patience = 60_000
const script = fileURLToPath(new URL('./worker.ts', import.meta.url))

function start(job: Job): ChildProcess {
  const child = spawn(process.execPath, [script, JSON.stringify(job)], { stdio: ['ignore', 'inherit', 'inherit'] })
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  return child
}

describe.each<[from: Backend, to: Backend]>([
  ['kinesis', 'kafka'],
  ['kafka', 'pubsub'],
  ['kafka', 'pulsar']
])('from %s to %s', (from, to) => {
  const [source, target] = [servers[from], servers[to]]
  const reason = [source, target].flatMap(server => (server.state === 'running' ? [] : [server.reason]))[0]

  test.skipIf(reason !== undefined)(
    `a worker is killed, and each record counts once${reason ? ` (not run: ${reason})` : ''}`,
    async () => {
      if (source.state !== 'running' || target.state !== 'running') return
      const folder = await mkdtemp(join(tmpdir(), 'tidemark-cross-'))
      onTestFinished(() => rm(folder, { recursive: true, force: true }))
      const job: Job = {
        name: `cross-${from}-${to}-${Date.now().toString(36)}`,
        from: source.url,
        to: target.url,
        store: `sqlite:${join(folder, 'commits.db')}`,
        sessionTimeout: 6_000
      }
      const { orders, counted } = chainOf(job)
      // On a queue, what nobody has asked for is not kept: the readers come first.
      const client = await connected({ ...job, store: `sqlite:${join(folder, 'reader.db')}` })
      const stop = new AbortController()
      const seen: SeenEffect[] = []
      const read = sink({
        name: 'read',
        from: counted,
        write: batch => void seen.push(...batch.map(({ key, value }) => ({ id: value.id, key, value: value.nth })))
      })
      const reading = client.run(pipeline(`${job.name}-reader`, [read]), { signal: stop.signal, handleSignals: false })
      const producer = await client.producer(orders)
      const sent = Array.from({ length: records }, (_, id) => ({ id, key: `key ${id % 7}` }))
      for (let at = 0; at < records; at += 100)
        await producer.sendAll(sent.slice(at, at + 100).map(({ id, key }) => ({ key, value: { id } })))
      const until = async (wanted: number): Promise<void> => {
        for (let [most, since] = [0, performance.now()]; seen.length < wanted; await sleep(20)) {
          if (seen.length > most) [most, since] = [seen.length, performance.now()]
          if (performance.now() - since > patience) throw new Error(`it stands at ${most} of ${wanted}`)
        }
      }
      const first = start(job)
      await until(records / 5)
      first.kill('SIGKILL')
      await once(first, 'exit')
      const before = seen.length
      expect(before, 'killed too late to show anything').toBeLessThan(records)
      const second = start(job)
      await until(records)
      // Repeats of the relay would come now.
      await sleep(500)
      second.kill('SIGTERM')
      expect(await once(second, 'exit', { signal: AbortSignal.timeout(patience) })).toEqual([0, null])
      stop.abort()
      await reading
      await client.close()
      const nth = new Map(sent.map(({ id }) => [id, Math.floor(id / 7) + 1]))
      const { found } = checkHistory({
        sent,
        // Pub/Sub keeps no order, and the reader does not need any: each record says its number.
        places: { reader: { seen, expected: id => nth.get(Number(id)), ordered: to !== 'pubsub' } }
      })
      expect(found).toEqual([])
    },
    400_000
  )
})
