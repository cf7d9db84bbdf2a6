import { expect, it } from 'vitest'
import type { Machine } from '../../simulation/core/machine.ts'
import { remoteAdapter } from '../../simulation/network/remote-adapter.ts'
import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import { systemEnvironment } from '../../src/core/environment.ts'
import { StreamError } from '../../src/core/errors.ts'
import type { PartitionReader } from '../../src/spec/index.ts'

/** A machine whose requests for records are answered by the test. */
function answering(answers: Promise<unknown>[]): Machine {
  const call = async (_: string, operation: string, effect: () => unknown): Promise<unknown> =>
    operation === 'receive' ? answers.shift() : effect()
  return { alive: true, call } as unknown as Machine
}

async function readerOf(answers: Promise<unknown>[]): Promise<PartitionReader> {
  const inner = memory({ broker: new MemoryBroker() })
  await inner.open(systemEnvironment)
  await inner.admin().createTopic({ topic: 'words', partitions: 1 })
  const { partitionReader } = remoteAdapter(answering(answers), inner)
  return partitionReader!({ topic: 'words', partition: 0, from: 'earliest', readCommitted: true, maxBytes: 1_000 })
}

const nothing = { records: [], atEnd: true }

it('an answer that is lost is told, also when nobody waits for it any more: its records would be skipped', async () => {
  const lost = Promise.withResolvers<unknown>()
  const reader = await readerOf([lost.promise, Promise.resolve(nothing)])
  const stop = new AbortController()
  const stopped = reader.receive({ wait: 1_000, signal: stop.signal })
  stop.abort()
  await expect(stopped).rejects.toMatchObject({ code: 'aborted' })
  const next = reader.receive({ wait: 1_000 })
  lost.reject(new StreamError('connection', 'no answer', { retryable: true }))
  await expect(next).rejects.toMatchObject({ code: 'connection' })
  expect(await reader.receive({ wait: 0 })).toEqual(nothing)
})

it('who stops waiting loses nothing', async () => {
  const late = Promise.withResolvers<unknown>()
  const reader = await readerOf([late.promise])
  const stop = new AbortController()
  const stopped = reader.receive({ wait: 1_000, signal: stop.signal })
  stop.abort()
  await expect(stopped).rejects.toMatchObject({ code: 'aborted' })
  late.resolve({ ...nothing, records: ['one'] })
  expect(await reader.receive({ wait: 1_000 })).toEqual({ records: ['one'], atEnd: false })
})
