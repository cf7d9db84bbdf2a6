/** Batch handlers on real brokers: stopped half way, with records that are poison, that fail once, and calls that fail: each once. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { connect, failed, number, pipeline, PoisonError, processor, text, topic } from '../../src/index.ts'

const servers = { kafka: inject('kafka'), pulsar: inject('pulsar'), kinesis: inject('kinesis') }
const chosen = inject('backends')
const patience = 60_000
const records = 300
const keys = 5

/** Commits are in the transactions of the broker where it has them, else in SQLite. */
describe.each(['memory', 'file', 'kafka', 'pulsar', 'kinesis'] as const)('on %s', backend => {
  const server = backend === 'memory' || backend === 'file' ? undefined : servers[backend]
  const reason = !chosen.includes(backend)
    ? `BACKENDS leaves out ${backend}`
    : server?.state === 'running'
      ? undefined
      : server?.reason

  test.skipIf(reason !== undefined)(
    `each record of a batch has one effect, in the order of its key${reason ? ` (not run: ${reason})` : ''}`,
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'tidemark-batches-'))
      const url = server?.state === 'running' ? server.url : backend === 'file' ? `file:${folder}` : 'memory:'
      const store = server && backend !== 'kafka' ? { store: `sqlite:${join(folder, 'commits.db')}` } : {}
      const client = await connect({ brokers: { default: url }, ...store, variables: {} })
      onTestFinished(async () => {
        await client.close()
        await rm(folder, { recursive: true, force: true })
      })
      const name = `batches-${backend}-${Date.now().toString(36)}`
      const asked = topic(`${name}-asked`, { key: text, value: number, partitions: 2 })
      const answered = topic(`${name}-answered`, { key: text, value: number, partitions: 2 })
      await client.admin.ensure(asked)
      await client.admin.ensure(answered)
      const producer = await client.producer(asked)
      await producer.sendAll(Array.from({ length: records }, (_, id) => ({ key: `k${id % keys}`, value: id })))

      let mended = false
      let done = 0
      let calls = 0
      const failedOnce = new Set<number>()
      const app = pipeline(name, [
        processor({
          name: 'ask',
          from: asked,
          to: answered,
          batch: { records: 20 },
          failure: { backoff: { first: 20, most: 100 } },
          async processBatch(batch) {
            await sleep(10)
            if (++calls % 6 === 0) throw new Error('no answer')
            return batch.map(({ key, value }) => {
              if (!mended && value % 50 === 7) return new PoisonError('never')
              if (value % 31 === 5 && !failedOnce.has(value)) {
                failedOnce.add(value)
                return failed(new Error('not now'))
              }
              done++
              return { key, value }
            })
          }
        })
      ])
      const work = async (until: () => boolean): Promise<void> => {
        const stop = new AbortController()
        const running = client.run(app, { handleSignals: false, signal: stop.signal, sessionTimeout: 6_000 })
        const limit = setTimeout(() => stop.abort(), patience)
        while (!stop.signal.aborted && !until()) await sleep(50)
        clearTimeout(limit)
        stop.abort()
        await running
      }
      const found = async (count: number): Promise<Map<string, number[]>> => {
        const stop = new AbortController()
        const limit = setTimeout(() => stop.abort(), patience)
        const byKey = new Map<string, number[]>()
        let seen = 0
        const group = `look-${count}`
        for await (const { key, value } of client.consumer(answered, { group, signal: stop.signal })) {
          byKey.set(key, [...(byKey.get(key) ?? []), value])
          if (++seen === count) stop.abort()
        }
        clearTimeout(limit)
        expect(seen).toBe(count)
        return byKey
      }
      const workUntilFound = async (count: number): Promise<Map<string, number[]>> => {
        let complete = false
        const finding = found(count).finally(() => (complete = true))
        await Promise.all([finding, work(() => complete)])
        return finding
      }
      await work(() => done >= records / 3)
      const ids = Array.from({ length: records }, (_, id) => id)
      const well = ids.filter(id => id % 50 !== 7)
      for (const [key, values] of await workUntilFound(well.length))
        expect(values).toEqual(well.filter(id => `k${id % keys}` === key))

      mended = true
      expect(await client.admin.redrive(asked)).toMatchObject({ sent: records / 50 })
      const all = [...(await workUntilFound(records)).values()].flat()
      expect(all.toSorted((left, right) => left - right)).toEqual(ids)
    },
    300_000
  )
})
