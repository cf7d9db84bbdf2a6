/**
 * From a broker without transactions to one that shows each output once to any reader: workers die between the commit and the relay, in
 * the middle of it, and before they or their store hear of its end. Somebody else's client, which knows nothing of stamps, counts.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, inject, onTestFinished, test } from 'vitest'
import { kafkaForeigner, pulsarForeigner, type Foreigner } from './foreigners.ts'
import { chainOf, connected, type Counted, type Job } from './job.ts'

const records = 3_000
const keys = 7
/** No progress for so long is a hang, on however slow a machine, ms. */
const patience = 60_000

type Target = readonly [
  backend: 'kafka' | 'pulsar',
  how: string,
  query: string,
  deaths: readonly string[],
  foreigner: Foreigner
]

const targets: readonly Target[] = [
  ['kafka', 'in transactions', '', ['committed', 'written', 'ended'], kafkaForeigner],
  ['pulsar', 'which deduplicates', '?deduplication=true', ['committed', 'sent'], pulsarForeigner]
]

function start(name: string, ...given: readonly string[]): { stop(): void; readonly ended: Promise<unknown[]> } {
  const script = fileURLToPath(new URL(name, import.meta.url))
  const child = spawn(process.execPath, [script, ...given], { stdio: ['ignore', 'inherit', 'inherit'] })
  const ended = once(child, 'exit')
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await ended
  })
  return { stop: () => child.kill('SIGTERM'), ended }
}

const different = (found: readonly Counted[]): number => new Set(found.map(({ id }) => id)).size

async function untilAll(found: readonly Counted[]): Promise<void> {
  for (let [most, since] = [0, performance.now()]; different(found) < records; await sleep(50)) {
    if (different(found) > most) [most, since] = [different(found), performance.now()]
    if (performance.now() - since > patience) throw new Error(`it stands at ${most} of ${records}`)
  }
}

async function countAgain([backend, , query, deaths, foreigner]: Target): Promise<void> {
  const server = inject(backend)
  if (server.state !== 'running') return
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-relay-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const job: Job = {
    name: `relay-${backend}-${Date.now().toString(36)}`,
    from: `file:${join(folder, 'log')}`,
    to: `${server.url}${query}`,
    store: `sqlite:${join(folder, 'commits.db')}`,
    sessionTimeout: 2_000
  }
  const client = await connected(job)
  const producer = await client.producer(chainOf(job).orders)
  const sent = Array.from({ length: records }, (_, id) => ({ key: `key ${id % keys}`, value: { id } }))
  for (let at = 0; at < records; at += 500) await producer.sendAll(sent.slice(at, at + 500))
  await client.close()

  for (const [when, nth] of deaths.flatMap(when => [1, 2].map(nth => [when, String(nth)] as const))) {
    const { ended } = start('./dying-worker.ts', JSON.stringify(job), when, nth)
    expect(await ended, `${when} ${nth}: it came to no such moment`).toEqual([null, 'SIGKILL'])
  }
  const topic = `${job.name}-counted`
  const early = await foreigner(server.url, topic)
  const last = start('./worker.ts', JSON.stringify(job))
  expect(different(early), 'killed too late to show anything').toBeLessThan(records)
  await untilAll(early)
  last.stop()
  expect(await last.ended).toEqual([0, null])

  const found = await foreigner(server.url, topic)
  await untilAll(found)
  // Repeats would lie behind the last one.
  await sleep(2_000)
  expect(found.length, 'records on the topic').toBe(records)
  for (const [key, list] of Map.groupBy(found, ({ id }) => id % keys))
    expect(
      list.map(({ nth }) => nth),
      `key ${key}`
    ).toEqual(list.map((_, index) => index + 1))
}

for (const target of targets) {
  const [backend, how] = target
  const server = inject(backend)
  const reason = server.state === 'running' ? '' : ` (not run: ${server.reason})`
  test.skipIf(reason !== '')(
    `from a file to ${backend}, ${how}: a foreign reader sees each record once${reason}`,
    () => countAgain(target),
    400_000
  )
}
