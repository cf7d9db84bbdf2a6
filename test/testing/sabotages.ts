import { StreamError } from '../../src/core/errors.ts'
import type { LogEvent, PartitionsRevoked } from '../../src/spec/index.ts'
import { onEvents, reading, sending, type Sabotage } from './sabotage.ts'

const key = (bytes: Uint8Array): Buffer => Buffer.from(Buffer.from(bytes).toString('utf8'))

/** What is broken, and (part of) the title of a case that must fail for it. */
export const sabotages: Readonly<Record<string, readonly [Sabotage, ...cases: string[]]>> = {
  'bytes pass through UTF-8': [
    reading(records => records.map(record => ({ ...record, key: record.key && key(record.key) }))),
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
      headers: Object.fromEntries(Object.entries(record.headers).map(([name, value]) => [name, key(value)]))
    })),
    'header values that are no UTF-8'
  ],
  'header names are ASCII': [
    sending(record => ({
      ...record,
      headers: Object.fromEntries(
        Object.entries(record.headers).map(([name, value]) => [name.replace(/[^ -~]/g, '?'), value])
      )
    })),
    'text headers come back'
  ],
  'the stamp is a header': [
    sending(record =>
      record.stamp ? { ...record, stamp: undefined, headers: { ...record.headers, '~s': record.stamp } } : record
    ),
    'the stamp comes back'
  ],
  'timestamps are lost': [
    sending(record => ({ ...record, timestamp: 0 })),
    'the timestamp is',
    'it starts at a time',
    'a time leads to'
  ],
  'bytes handed in are overwritten': [
    {
      producer: driver => {
        const send = driver.send.bind(driver)
        driver.send = async (batch, signal) => {
          const results = await send(
            batch.map(record => ({ ...record, value: record.value && Buffer.from(record.value) })),
            signal
          )
          for (const record of batch) record.value?.fill(0)
          return results
        }
      }
    },
    'bytes handed in are not changed'
  ],
  'the last record of a batch is forgotten': [
    {
      producer: driver => {
        const send = driver.send.bind(driver)
        driver.send = async (batch, signal) => {
          const results = await send(batch.length > 1 ? batch.slice(0, -1) : batch, signal)
          return batch.map((_, index) => results[index] ?? results[0]!)
        }
      }
    },
    'a partition keeps the order',
    'a new reader finds everything'
  ],
  'a batch is written backwards': [
    {
      producer: driver => {
        const send = driver.send.bind(driver)
        driver.send = async (batch, signal) => (await send(batch.toReversed(), signal)).toReversed()
      }
    },
    'a partition keeps the order',
    'a batch over several partitions'
  ],
  'results are in another order': [
    {
      producer: driver => {
        const send = driver.send.bind(driver)
        driver.send = async (batch, signal) => (await send(batch, signal)).toReversed()
      }
    },
    'a batch over several partitions'
  ],
  'one failure fails the whole batch': [
    {
      producer: driver => {
        const send = driver.send.bind(driver)
        driver.send = async (batch, signal) => {
          const results = await send(batch, signal)
          const failed = results.find(result => !result.ok)
          return failed ? results.map(() => failed) : results
        }
      }
    },
    'fails for the latter alone'
  ],
  'positions compare as text': [
    { adapter: adapter => (adapter.comparePositions = (left, right) => (left < right ? -1 : left > right ? 1 : 0)) },
    'positions of a partition grow'
  ],
  'the signal is ignored': [
    {
      producer: driver => {
        const send = driver.send.bind(driver)
        driver.send = batch => send(batch)
      },
      logReader: driver => {
        const receive = driver.receive.bind(driver)
        driver.receive = ({ wait }) => receive({ wait })
      },
      partitionReader: driver => {
        const receive = driver.receive.bind(driver)
        driver.receive = ({ wait }) => receive({ wait })
      }
    },
    'receive of a group is ended by its signal',
    'receive of a partition is ended by its signal',
    'send with a signal that has fired'
  ],
  'receive does not wait': [
    {
      logReader: driver => {
        const receive = driver.receive.bind(driver)
        driver.receive = options => receive({ ...options, wait: 0 })
      },
      partitionReader: driver => {
        const receive = driver.receive.bind(driver)
        driver.receive = options => receive({ ...options, wait: 0 })
      }
    },
    'receive gives an empty array after its wait',
    'a waiting receive is woken',
    'at the end it waits'
  ],
  'a waiting receive sleeps through records': [
    {
      logReader: driver => {
        const receive = driver.receive.bind(driver)
        driver.receive = async options => {
          const events = await receive({ ...options, wait: 0 })
          if (events.length > 0) return events
          await new Promise(resolve => setTimeout(resolve, options.wait))
          return receive({ ...options, wait: 0 })
        }
      }
    },
    'a waiting receive is woken'
  ],
  'maxBytes is ignored': [
    {
      adapter: adapter => {
        const { logReader, partitionReader } = adapter
        adapter.logReader = options => logReader!({ ...options, maxBytes: 1 << 30 })
        adapter.partitionReader = options => partitionReader!({ ...options, maxBytes: 1 << 30 })
      }
    },
    'one receive of a group hands over',
    'one receive hands over'
  ],
  'a partition starts by itself': [
    {
      logReader: driver => {
        const receive = driver.receive.bind(driver)
        driver.receive = async options => {
          const events = await receive(options)
          for (const event of events)
            if (event.kind === 'partitions-assigned')
              for (const each of event.partitions) await driver.seek(each, 'earliest')
          return events
        }
      }
    },
    'an assigned partition is silent'
  ],
  'a position is the next record': [
    {
      logReader: driver => {
        const seek = driver.seek.bind(driver)
        driver.seek = (partition, at) =>
          seek(
            partition,
            typeof at === 'object' && 'after' in at && at.after !== '0' ? { after: String(Number(at.after) - 1) } : at
          )
      }
    },
    'after a position comes the record behind it',
    'a position read by a group'
  ],
  'a commit is one too far': [
    {
      logReader: driver => {
        const commit = driver.commit.bind(driver)
        driver.commit = positions =>
          commit(positions.map(each => ({ ...each, position: String(Number(each.position) + 1) })))
      }
    },
    'a group goes on right after',
    'each commit replaces',
    'the backlog is what'
  ],
  'a commit is one too short': [
    {
      logReader: driver => {
        const commit = driver.commit.bind(driver)
        driver.commit = positions =>
          commit(positions.map(each => ({ ...each, position: String(Math.max(0, Number(each.position) - 1)) })))
      }
    },
    'a group goes on right after',
    'what is committed before the release'
  ],
  'records are committed as they are read': [
    {
      logReader: driver =>
        void onEvents(driver, events => {
          for (const { topic, partition, records } of events.filter(event => event.kind === 'records'))
            void driver.commit([{ topic, partition, position: records.at(-1)!.position }])
          return events
        })
    },
    'what was not committed comes again'
  ],
  'commits are forgotten': [
    { logReader: driver => (driver.commit = async () => {}) },
    'a group goes on right after',
    'positions committed by one adapter'
  ],
  'every commit is accepted': [
    {
      logReader: driver => {
        const commit = driver.commit.bind(driver)
        driver.commit = positions => commit(positions).catch(() => {})
      }
    },
    'a commit for a partition that was released',
    'a partition that was never assigned cannot be committed'
  ],
  'latest is earliest': [
    {
      logReader: driver => {
        const seek = driver.seek.bind(driver)
        driver.seek = (partition, at) => seek(partition, at === 'latest' ? 'earliest' : at)
      }
    },
    'earliest is the first record'
  ],
  'what was queued is delivered after a seek': [
    {
      logReader: driver => {
        const receive = driver.receive.bind(driver)
        let queued: readonly LogEvent[] = []
        driver.receive = async options => {
          const events = queued.length > 0 ? queued : await receive(options)
          const all = events.flatMap((event): LogEvent[] =>
            event.kind === 'records' && event.records.length > 5
              ? [
                  { ...event, records: event.records.slice(0, 5) },
                  { ...event, records: event.records.slice(5) }
                ]
              : [event]
          )
          queued = all.slice(1)
          return all.slice(0, 1)
        }
      }
    },
    'records that were queued before a seek'
  ],
  'any partition can be sought': [
    {
      logReader: driver => {
        const seek = driver.seek.bind(driver)
        driver.seek = (partition, at) => seek(partition, at).catch(() => {})
      }
    },
    'a partition that is not assigned cannot be sought'
  ],
  'pause does nothing': [{ logReader: driver => (driver.pause = () => {}) }, 'a paused partition is silent'],
  'resume skips what was written meanwhile': [
    {
      logReader: driver => {
        const resume = driver.resume.bind(driver)
        driver.resume = partitions => {
          for (const each of partitions) void driver.seek(each, 'latest')
          resume(partitions)
        }
      }
    },
    'a paused partition is silent'
  ],
  'partitions are handed over without asking': [
    {
      logReader: driver =>
        void onEvents(driver, events => {
          for (const event of events) if (event.kind === 'partitions-revoked') event.release()
          return events
        })
    },
    'nobody gets a partition before',
    'what is committed before the release'
  ],
  'partitions are never handed over': [
    {
      logReader: driver =>
        void onEvents(driver, events =>
          events.map((event): LogEvent =>
            event.kind === 'partitions-revoked' ? ({ ...event, release: () => {} } satisfies PartitionsRevoked) : event
          )
        )
    },
    'two members share',
    'a third member gets its share'
  ],
  'every member has everything': [
    {
      adapter: adapter => {
        const { logReader } = adapter
        adapter.logReader = options => logReader!({ ...options, group: `${options.group}${Math.random()}` })
      }
    },
    'two members share',
    'a third member gets its share',
    'a group goes on right after'
  ],
  'topics of a group are assigned each by itself': [
    {
      adapter: adapter => {
        const { logReader } = adapter
        // Partition 0 of the last topic is told as partition 1 and the other way round.
        adapter.logReader = async options => {
          const driver = await logReader!(options)
          const swap = <T extends { topic: string; partition: number }>(each: T): T =>
            options.topics.length > 1 && each.topic === options.topics.at(-1) && each.partition < 2
              ? { ...each, partition: 1 - each.partition }
              : each
          const seek = driver.seek.bind(driver)
          driver.seek = (partition, at) => seek(swap(partition), at)
          onEvents(driver, events =>
            events.map(event =>
              event.kind === 'records' ? swap(event) : { ...event, partitions: event.partitions.map(swap) }
            )
          )
          return driver
        }
      }
    },
    'partition i of all topics'
  ],
  'a reader that closes stays in its group': [
    {
      logReader: driver => {
        driver.close = async () => {}
      }
    },
    'a member that closes hands over',
    'a closed group reader'
  ],
  'heartbeats need receive': [
    {
      logReader: (driver, adapter) => {
        const receive = driver.receive.bind(driver)
        const group = [...adapter.native.topicNames()].at(-1)!
        let last = performance.now()
        driver.receive = options => {
          if (performance.now() - last > 300) adapter.native.faults.kick(group)
          last = performance.now()
          return receive(options)
        }
      }
    },
    'a slow handler keeps its partitions'
  ],
  'the end is always reached': [
    {
      partitionReader: driver => {
        const receive = driver.receive.bind(driver)
        driver.receive = async options => ({ ...(await receive(options)), atEnd: true })
      }
    },
    'atEnd comes with'
  ],
  'the end is never reached': [
    {
      partitionReader: driver => {
        const receive = driver.receive.bind(driver)
        driver.receive = async options => ({ ...(await receive(options)), atEnd: false })
      }
    },
    'an empty partition is at its end'
  ],
  'the end is what it was a call ago': [
    {
      partitionReader: driver => {
        const receive = driver.receive.bind(driver)
        let known: Awaited<ReturnType<typeof receive>> | undefined
        driver.receive = async options => {
          const stale = known
          known = undefined
          if (stale) return stale
          const batch = await receive(options)
          if (batch.atEnd) known = { records: [], atEnd: true }
          return batch
        }
      }
    },
    'what was written before a receive'
  ],
  'everybody reads from a shared place': [
    {
      adapter: adapter => {
        const { partitionReader } = adapter
        const opened = new Map<string, ReturnType<NonNullable<typeof partitionReader>>>()
        adapter.partitionReader = options => {
          const place = `${options.topic}/${options.partition}`
          if (!opened.has(place)) opened.set(place, partitionReader!(options))
          return opened.get(place)!
        }
      }
    },
    'two readers of one partition'
  ],
  'unknown topics are created': [
    {
      producer: (driver, adapter) => {
        const send = driver.send.bind(driver)
        driver.send = async (batch, signal) => {
          for (const { topic } of batch)
            if (!adapter.native.findTopic(topic)) adapter.native.createTopic({ topic, partitions: 1 })
          return send(batch, signal)
        }
      }
    },
    'sending to an unknown topic'
  ],
  'reading creates topics': [
    {
      adapter: adapter => {
        const { logReader, partitionReader, native } = adapter
        const create = (topic: string): void => {
          if (!native.findTopic(topic)) native.createTopic({ topic, partitions: 1 })
        }
        adapter.logReader = options => {
          options.topics.forEach(create)
          return logReader!(options)
        }
        adapter.partitionReader = options => {
          create(options.topic)
          return partitionReader!(options)
        }
      }
    },
    'reading a partition of an unknown topic',
    'a group on an unknown topic'
  ],
  'describing creates a topic': [
    {
      admin: (driver, adapter) => {
        const describe = driver.describeTopic.bind(driver)
        driver.describeTopic = async topic => {
          if (!adapter.native.findTopic(topic)) adapter.native.createTopic({ topic, partitions: 1 })
          return describe(topic)
        }
      }
    },
    'a topic that is not there is described as undefined'
  ],
  'a topic can be created twice': [
    {
      admin: driver => {
        const create = driver.createTopic.bind(driver)
        driver.createTopic = topic => create(topic).catch(() => {})
      }
    },
    'creating a topic twice'
  ],
  'deleting does nothing': [
    { admin: driver => (driver.deleteTopic = async () => {}) },
    'a topic that was deleted is gone'
  ],
  'topics are created elsewhere': [
    {
      admin: driver => {
        const create = driver.createTopic.bind(driver)
        driver.createTopic = async topic => void setTimeout(() => void create(topic).catch(() => {}), 50)
      }
    },
    'a topic can be written and read right after'
  ],
  'partitions are miscounted': [
    {
      admin: driver => {
        const create = driver.createTopic.bind(driver)
        driver.createTopic = topic => create({ ...topic, partitions: topic.partitions + 1 })
      }
    },
    'a topic that was created is described'
  ],
  'the backlog counts from the commit on': [
    {
      admin: driver => {
        const backlog = driver.backlog.bind(driver)
        driver.backlog = async (group, topics) =>
          (await backlog(group, topics)).map(row => ({ ...row, records: row.records + 1 }))
      }
    },
    'the backlog is what',
    'a group that never was'
  ],
  'groups share their positions': [
    {
      adapter: adapter => {
        const { logReader } = adapter
        adapter.logReader = options => logReader!({ ...options, group: options.group.split('.')[0]! })
      }
    },
    'two groups do not know'
  ],
  'closing does not close': [
    {
      producer: driver => (driver.close = async () => {}),
      partitionReader: driver => (driver.close = async () => {}),
      fencedProducer: driver => (driver.close = async () => {}),
      adapter: adapter => (adapter.close = async () => {})
    },
    'a closed producer',
    'a closed partition reader',
    'a closed fenced producer',
    'a closed adapter'
  ],
  'closing twice throws': [
    {
      producer: driver => {
        const close = driver.close.bind(driver)
        let closed = false
        driver.close = async () => {
          if (closed) throw new StreamError('closed', 'it is closed')
          closed = true
          await close()
        }
      }
    },
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
  'a transaction is written record by record': [
    {
      fencedProducer: (driver, adapter) => {
        driver.commit = async ({ records }) => {
          const results = await (await adapter.producer()).send(records)
          return { outcome: results.every(result => result.ok) ? 'committed' : 'aborted' }
        }
      }
    },
    'a transaction that cannot be written as a whole',
    'a group does not see what was aborted',
    'a new producer of an id fences',
    'each of several successors',
    'offsets are committed with'
  ],
  'a transaction appears after its commit': [
    {
      fencedProducer: driver => {
        const commit = driver.commit.bind(driver)
        driver.commit = async batch => void setTimeout(() => void commit(batch), 30) ?? { outcome: 'committed' }
      }
    },
    'all records are there when the commit has returned',
    'plain and transactional records share'
  ],
  'a commit under way survives the take-over': [
    {
      adapter: adapter => {
        const { transactions } = adapter
        adapter.transactions = () => ({
          async producer(id) {
            const driver = await transactions!().producer(id)
            const { native } = adapter
            driver.commit = async ({ records }) => {
              await new Promise(resolve => setTimeout(resolve, 5))
              native.appendAll(records.slice(0, 20))
              await new Promise(resolve => setTimeout(resolve, 20))
              native.appendAll(records.slice(20))
              return { outcome: 'committed' }
            }
            return driver
          }
        })
      }
    },
    'a take-over in the middle of a commit'
  ],
  'one transaction at a time': [
    {
      adapter: adapter => {
        const { transactions } = adapter
        adapter.transactions = () => ({ producer: () => transactions!().producer('the only one') })
      }
    },
    'producers of different ids'
  ],
  'a transaction loses headers': [
    {
      fencedProducer: driver => {
        const commit = driver.commit.bind(driver)
        driver.commit = batch =>
          commit({ ...batch, records: batch.records.map(record => ({ ...record, headers: {} })) })
      }
    },
    'keys, headers, stamps and tombstones'
  ],
  'each adapter has a broker of its own': [
    {
      adapter: adapter => {
        const producer = adapter.producer.bind(adapter)
        const { native } = adapter
        adapter.producer = async () => {
          const driver = await producer()
          const mine = native.topicNames().at(-1)
          const send = driver.send.bind(driver)
          driver.send = async batch =>
            mine === undefined ? send(batch) : batch.map(() => ({ ok: true, position: undefined }))
          return driver
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
