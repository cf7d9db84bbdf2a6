/** One hot partition must not starve the others: what comes there is handled while the backlog of the hot one lasts. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { connect, number, pipeline, processor, text, topic } from '../../src/index.ts'

const kafka = inject('kafka')
const chosen = inject('backends')
const backlog = 20_000
const rounds = 10
const settings = { commitInterval: 60_000, commitRecords: 1_000_000 }

describe.each(['memory', 'file', 'kafka'] as const)('on %s', backend => {
  const reason = chosen.includes(backend)
    ? backend === 'kafka' && kafka.state !== 'running'
      ? kafka.reason
      : undefined
    : `BACKENDS leaves out ${backend}`

  test.skipIf(reason !== undefined)(
    `the backlog of one partition does not hold up the others${reason ? ` (not run: ${reason})` : ''}`,
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'tidemark-fair-'))
      const url =
        kafka.state === 'running' && backend === 'kafka' ? kafka.url : backend === 'file' ? `file:${folder}` : 'memory:'
      const client = await connect({ brokers: { default: url }, variables: {} })
      onTestFinished(async () => {
        await client.close()
        await rm(folder, { recursive: true, force: true })
      })
      const name = `fair-${backend}-${Date.now().toString(36)}`
      const events = topic(name, { key: text, value: number, partitions: 4 })
      await client.admin.ensure(events)
      const producer = await client.producer(events)
      for (let at = 0; at < backlog; at += 1_000)
        await producer.sendAll(
          Array.from({ length: 1_000 }, (_, index) => ({ key: `k${index}`, value: at + index, partition: 0 }))
        )
      let hot = 0
      const seen = new Map<number, () => void>()
      const stop = new AbortController()
      const app = pipeline(name, [
        processor({
          name: 'take',
          from: events,
          process({ partition, value }) {
            // It keeps the thread, as a handler that computes.
            for (const until = performance.now() + 0.2; performance.now() < until;);
            if (partition === 0) hot++
            else seen.get(value)?.()
          }
        })
      ])
      // No commit interrupts it: tasks share the thread by their turns alone.
      const running = client.run(app, { ...settings, handleSignals: false, signal: stop.signal })
      while (hot < 200) await sleep(5)
      const waits: number[] = []
      for (let round = 0; round < rounds; round++)
        for (const partition of [1, 2, 3]) {
          const value = round * 4 + partition
          const handled = new Promise<void>(resolve => seen.set(value, resolve))
          const began = performance.now()
          await producer.send({ key: 'k', value, partition })
          await handled
          waits.push(performance.now() - began)
        }
      const left = backlog - hot
      stop.abort()
      await running
      // Each came through before the backlog was done, and not late.
      expect(left, 'the backlog was done too soon to show anything').toBeGreaterThan(0)
      expect(waits.toSorted((one, other) => one - other)[Math.floor(waits.length / 2)]).toBeLessThan(300)
      expect(Math.max(...waits)).toBeLessThan(2_000)
    },
    120_000
  )
})
