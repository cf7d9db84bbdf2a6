import { sizeOf } from '../../../src/core/record.ts'
import type { LogEvent, TopicPartition } from '../../../src/spec/index.ts'
import { events, onGroup, onPartition, onProducer, type Sabotages } from './sabotage.ts'

const pause = (milliseconds: number): Promise<void> => new Promise(resolve => setTimeout(resolve, milliseconds))

/** Partition 0 for 3 and 1 for 2: a half of four partitions becomes the other half. */
const mirrored = <Place extends TopicPartition>(place: Place): Place => ({ ...place, partition: 3 - place.partition })

export const flow: Sabotages = {
  'the signal is ignored': [
    {
      ...onProducer('send', send => batch => send(batch)),
      ...onGroup(
        'receive',
        receive =>
          ({ wait }) =>
            receive({ wait })
      ),
      ...onPartition(
        'receive',
        receive =>
          ({ wait }) =>
            receive({ wait })
      )
    },
    'receive of a group is ended by its signal',
    'receive of a partition is ended by its signal',
    'send with a signal that has fired'
  ],
  'receive does not wait': [
    {
      ...onGroup('receive', receive => options => receive({ ...options, wait: 0 })),
      ...onPartition('receive', receive => options => receive({ ...options, wait: 0 }))
    },
    'receive gives an empty array after its wait',
    'a waiting receive is woken',
    'at the end it waits'
  ],
  'a waiting receive sleeps through records': [
    {
      ...onGroup('receive', receive => async options => {
        const all = await receive({ ...options, wait: 0 })
        if (all.length > 0) return all
        await pause(options.wait)
        return receive({ ...options, wait: 0 })
      }),
      ...onPartition('receive', receive => async options => {
        const batch = await receive({ ...options, wait: 0 })
        if (batch.records.length > 0) return batch
        await pause(options.wait)
        return receive({ ...options, wait: 0 })
      })
    },
    'a waiting receive is woken',
    'at the end it waits'
  ],
  'the end is not told any more once a record has come': [
    onPartition('receive', receive => {
      let isNews = false
      return async options => {
        const { records, atEnd } = await receive(options)
        isNews ||= records.length > 0
        return { records, atEnd: atEnd && !isNews }
      }
    }),
    'who does not wait'
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
  'large records are left out': [
    events(all =>
      all.flatMap((event): LogEvent[] => {
        if (event.kind !== 'records') return [event]
        const records = event.records.filter(record => sizeOf(record) < 50_000)
        return records.length > 0 ? [{ ...event, records }] : []
      })
    ),
    'a record that is larger than maxBytes'
  ],
  'pause does nothing': [onGroup('pause', () => () => {}), 'a paused partition is silent'],
  'resume skips what was written meanwhile': [
    onGroup('resume', (resume, reader) => partitions => {
      for (const partition of partitions) void reader.seek(partition, 'latest')
      resume(partitions)
    }),
    'a paused partition is silent'
  ],
  'partitions are handed over without asking': [
    events(all => {
      for (const event of all) if (event.kind === 'partitions-revoked') event.release()
      return all
    }),
    'nobody gets a partition before'
  ],
  'a release is ignored until the deadline': [
    events(all =>
      all.map((event): LogEvent => (event.kind === 'partitions-revoked' ? { ...event, release: () => {} } : event))
    ),
    'nobody gets a partition before'
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
        adapter.logReader = async options => {
          const reader = await logReader!(options)
          const change = <Place extends TopicPartition>(place: Place): Place =>
            options.topics.length > 1 && place.topic === options.topics.at(-1) ? mirrored(place) : place
          const seek = reader.seek.bind(reader)
          const receive = reader.receive.bind(reader)
          reader.seek = (partition, at) => seek(change(partition), at)
          reader.receive = async given =>
            (await receive(given)).map(event =>
              event.kind === 'records' ? change(event) : { ...event, partitions: event.partitions.map(change) }
            )
          return reader
        }
      }
    },
    'partition i of all topics'
  ],
  'a reader that closes stays in its group': [
    onGroup('close', () => async () => {}),
    'a member that closes hands over',
    'a closed group reader'
  ],
  'heartbeats need receive': [
    onGroup('receive', (receive, _, { native }) => {
      const group = native.topicNames().at(-1)!
      let last = performance.now()
      return options => {
        if (performance.now() - last > 300) native.faults.kick(group)
        last = performance.now()
        return receive(options)
      }
    }),
    'a slow handler keeps its partitions'
  ]
}
