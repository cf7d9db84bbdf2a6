import { StreamError } from '../../../src/core/errors.ts'
import type { MemoryBroker } from '../../../src/adapters/memory/index.ts'
import { onAdmin, onProducer, type Sabotages } from './sabotage.ts'

function create(broker: MemoryBroker, topic: string): void {
  if (!broker.findTopic(topic)) broker.createTopic({ topic, partitions: 1 })
}

export const server: Sabotages = {
  'sending creates topics': [
    onProducer('send', (send, _, { native }) => async (batch, signal) => {
      for (const { topic } of batch) create(native, topic)
      return send(batch, signal)
    }),
    'sending to an unknown topic'
  ],
  'reading creates topics': [
    {
      adapter: adapter => {
        const { logReader, partitionReader, native } = adapter
        adapter.logReader = options => {
          for (const topic of options.topics) create(native, topic)
          return logReader!(options)
        }
        adapter.partitionReader = options => {
          create(native, options.topic)
          return partitionReader!(options)
        }
      }
    },
    'reading a partition of an unknown topic',
    'a group on an unknown topic'
  ],
  'describing creates topics': [
    onAdmin('describeTopic', (describe, _, { native }) => async topic => {
      create(native, topic)
      return describe(topic)
    }),
    'a topic that is not there is described as undefined'
  ],
  'a topic can be created twice': [
    onAdmin('createTopic', make => topic => make(topic).catch(() => {})),
    'creating a topic twice'
  ],
  'deleting does nothing': [onAdmin('deleteTopic', () => async () => {}), 'a topic that was deleted is gone'],
  'a topic is created some time later': [
    onAdmin('createTopic', make => async topic => void setTimeout(() => void make(topic).catch(() => {}), 50)),
    'a topic can be written and read right after'
  ],
  'partitions are miscounted': [
    onAdmin('createTopic', make => topic => make({ ...topic, partitions: topic.partitions + 1 })),
    'a topic that was created is described'
  ],
  'the backlog counts one too many': [
    onAdmin(
      'backlog',
      backlog => async (group, topics) =>
        (await backlog(group, topics)).map(row => ({ ...row, records: row.records + 1 }))
    ),
    'the backlog is what',
    'a group that never was'
  ],
  'unknown topics have no backlog': [
    onAdmin('backlog', backlog => (group, topics) => backlog(group, topics).catch(() => [])),
    'committed and backlog of an unknown topic'
  ],
  'closing does not close': [
    {
      producer: driver => void (driver.close = async () => {}),
      partitionReader: driver => void (driver.close = async () => {}),
      fencedProducer: driver => void (driver.close = async () => {}),
      adapter: adapter => void (adapter.close = async () => {})
    },
    'a closed producer',
    'a closed partition reader',
    'a closed fenced producer',
    'a closed adapter'
  ],
  'closing twice throws': [
    onProducer('close', close => {
      let closed = false
      return async () => {
        if (closed) throw new StreamError('closed', 'it is closed')
        closed = true
        await close()
      }
    }),
    'a closed producer'
  ],
  'every error may be retried': [
    {
      adapter: adapter => {
        const { classify } = adapter
        adapter.classify = error => ({ ...classify(error), retryable: true })
      }
    },
    'a stranger’s error'
  ],
  'what an adapter wrote goes with it': [
    {
      adapter: adapter => {
        const { native, close } = adapter
        let wrote: readonly string[] = []
        const producer = adapter.producer.bind(adapter)
        adapter.producer = async () => {
          const driver = await producer()
          const send = driver.send.bind(driver)
          driver.send = async (batch, signal) => {
            wrote = batch.map(record => record.topic)
            return send(batch, signal)
          }
          return driver
        }
        adapter.close = async () => {
          for (const topic of wrote) native.findTopic(topic)?.partitions.forEach(log => log.truncate(log.end))
          await close()
        }
      }
    },
    'what one adapter wrote'
  ],
  'a driver that is declared is missing': [
    { adapter: adapter => void delete adapter.transactions },
    'there is a driver for each capability'
  ],
  'the adapter declares something else': [
    { adapter: adapter => void Object.assign(adapter, { capabilities: { ...adapter.capabilities, durable: true } }) },
    'the adapter declares what the harness says'
  ]
}
