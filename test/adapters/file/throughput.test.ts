import { expect, it } from 'vitest'
import { noHeaders, type OutgoingRecord } from '../../../src/core/record.ts'
import { folder, open, prepare } from './support.ts'

const topic = 'throughput'
const partitions = 4
const batches = 50
const size = 4_000

// Printed, not asserted: what a machine does is its own business. `bench/` measures.
it('reads and writes records of 100 bytes by the hundred thousand', async () => {
  const adapter = await open(folder())
  const producer = await prepare(adapter, { topic, partitions })
  const value = Buffer.alloc(100, 'x')
  const batch = Array.from({ length: size }, (_, index): OutgoingRecord => {
    const key = Buffer.from(`key-${index % 500}`)
    return { topic, partition: index % partitions, key, value, headers: noHeaders, stamp: undefined, timestamp: index }
  })
  const total = batches * size
  const perSecond = (start: number): string =>
    Math.round(total / ((performance.now() - start) / 1000)).toLocaleString('en')

  let start = performance.now()
  for (let index = 0; index < batches; index++) await producer.send(batch)
  const written = perSecond(start)

  start = performance.now()
  const reader = await adapter.logReader!({ group: 'g', topics: [topic], sessionTimeout: 10_000, maxBytes: 1 << 24 })
  let read = 0
  while (read < total) {
    for (const event of await reader.receive({ wait: 1_000 })) {
      if (event.kind === 'records') read += event.records.length
      if (event.kind === 'partitions-assigned')
        for (const place of event.partitions) await reader.seek(place, 'earliest')
    }
  }
  console.log(`file: ${written} records/s written, ${perSecond(start)} records/s read`)
  expect(read).toBe(total)
})
