import { onProducer, onTransaction, reading, sending, type Sabotages } from './sabotage.ts'

const throughText = (bytes: Uint8Array): Buffer => Buffer.from(Buffer.from(bytes).toString('utf8'))

const mapHeaders = (
  headers: Readonly<Record<string, Uint8Array>>,
  change: (name: string, value: Uint8Array) => [string, Uint8Array]
) => Object.fromEntries(Object.entries(headers).map(([name, value]) => change(name, value)))

export const writing: Sabotages = {
  'bytes pass through UTF-8': [
    reading(records => records.map(record => ({ ...record, key: record.key && throughText(record.key) }))),
    'key and value come back'
  ],
  'no key becomes an empty key': [
    sending(record => ({ ...record, key: record.key ?? Buffer.alloc(0) })),
    'a record without a key'
  ],
  'empty values become null': [
    sending(record => ({ ...record, value: record.value?.byteLength === 0 ? null : record.value })),
    'an empty value is empty'
  ],
  'tombstones become empty': [
    sending(record => ({ ...record, value: record.value ?? Buffer.alloc(0) })),
    'a null value (tombstone)'
  ],
  'headers are text': [
    sending(record => ({
      ...record,
      headers: mapHeaders(record.headers, (name, value) => [name, throughText(value)])
    })),
    'header values that are no UTF-8'
  ],
  'header names are ASCII': [
    sending(record => ({
      ...record,
      headers: mapHeaders(record.headers, (name, value) => [name.replace(/[^ -~]/g, '?'), value])
    })),
    'text headers come back'
  ],
  'the stamp is a header': [
    sending(({ stamp, ...record }) => ({
      ...record,
      stamp: undefined,
      headers: { ...record.headers, ...(stamp && { '~s': stamp }) }
    })),
    'the stamp comes back'
  ],
  'timestamps are lost': [
    sending(record => ({ ...record, timestamp: 0 })),
    'the timestamp is',
    'it starts at a time',
    'a time leads to'
  ],
  'bytes handed in are overwritten': [
    onProducer('send', send => async (batch, signal) => {
      const results = await send(
        batch.map(record => ({ ...record, value: record.value && Buffer.from(record.value) })),
        signal
      )
      for (const record of batch) record.value?.fill(0)
      return results
    }),
    'bytes handed in are not changed'
  ],
  'the last record of a batch is forgotten': [
    onProducer('send', send => async (batch, signal) => {
      const results = await send(batch.length > 1 ? batch.slice(0, -1) : batch, signal)
      return batch.map((_, index) => results[index] ?? results[0]!)
    }),
    'a partition keeps the order',
    'a new reader finds everything'
  ],
  'a batch is written backwards': [
    onProducer('send', send => async (batch, signal) => (await send(batch.toReversed(), signal)).toReversed()),
    'a partition keeps the order',
    'a batch over several partitions'
  ],
  'results are in another order': [
    onProducer('send', send => async (batch, signal) => (await send(batch, signal)).toReversed()),
    'a batch over several partitions'
  ],
  'one failure fails the whole batch': [
    onProducer('send', send => async (batch, signal) => {
      const results = await send(batch, signal)
      const failed = results.find(result => !result.ok)
      return failed ? results.map(() => failed) : results
    }),
    'a batch for a topic that exists and one that does not'
  ],
  'a batch sent during another is dropped': [
    onProducer('send', send => {
      let busy = false
      return async (batch, signal) => {
        if (busy) return batch.map(() => ({ ok: true, position: undefined }))
        busy = true
        return send(batch, signal).finally(() => (busy = false))
      }
    }),
    'batches sent at once'
  ],
  'positions compare as text': [
    {
      adapter: adapter => void (adapter.comparePositions = (left, right) => (left < right ? -1 : left > right ? 1 : 0))
    },
    'positions of a partition grow'
  ],
  'a transaction is written record by record': [
    onTransaction('commit', (_, __, adapter) => async ({ records }) => {
      const results = await (await adapter.producer()).send(records)
      return { outcome: results.every(result => result.ok) ? 'committed' : 'aborted' }
    }),
    'a transaction that cannot be written as a whole',
    'a group does not see what was aborted',
    'a new producer of an id fences',
    'each of several successors',
    'offsets are committed with'
  ],
  'a transaction appears after its commit': [
    onTransaction('commit', commit => async batch => {
      setTimeout(() => void commit(batch).catch(() => {}), 30)
      return { outcome: 'committed' }
    }),
    'all records are there when the commit has returned',
    'plain and transactional records share'
  ],
  'a commit under way survives the take-over': [
    onTransaction('commit', (_, __, { native }) => async ({ records }) => {
      await new Promise(resolve => setTimeout(resolve, 5))
      native.appendAll(records.slice(0, 20))
      await new Promise(resolve => setTimeout(resolve, 20))
      native.appendAll(records.slice(20))
      return { outcome: 'committed' }
    }),
    'a take-over in the middle of a commit'
  ],
  'all ids are one': [
    {
      adapter: adapter => {
        const { transactions } = adapter
        adapter.transactions = () => ({ producer: () => transactions!().producer('the only one') })
      }
    },
    'producers of different ids'
  ],
  'a transaction loses headers': [
    onTransaction(
      'commit',
      commit => batch => commit({ ...batch, records: batch.records.map(record => ({ ...record, headers: {} })) })
    ),
    'keys, headers, stamps and tombstones'
  ]
}
