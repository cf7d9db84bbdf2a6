import type { LogEvent } from '../../../src/spec/index.ts'
import { events, onGroup, onPartition, reading, type Sabotages } from './sabotage.ts'

export const positions: Sabotages = {
  'a partition starts by itself': [
    onGroup('receive', (receive, reader) => async options => {
      const all = await receive(options)
      const assigned = all.flatMap(event => (event.kind === 'partitions-assigned' ? event.partitions : []))
      for (const partition of assigned) await reader.seek(partition, 'earliest')
      return all
    }),
    'an assigned partition is silent'
  ],
  'a position is the next record': [
    onGroup('seek', seek => (partition, at) => {
      const isAfter = typeof at === 'object' && 'after' in at && at.after !== '0'
      return seek(partition, isAfter ? { after: String(Number(at.after) - 1) } : at)
    }),
    'after a position comes the record behind it',
    'a position read by a group'
  ],
  'a commit is one too far': [
    onGroup(
      'commit',
      commit => given => commit(given.map(each => ({ ...each, position: String(Number(each.position) + 1) })))
    ),
    'a group goes on right after',
    'each commit replaces',
    'the backlog is what'
  ],
  'a commit is one too short': [
    onGroup(
      'commit',
      commit => given =>
        commit(given.map(each => ({ ...each, position: String(Math.max(0, Number(each.position) - 1)) })))
    ),
    'a group goes on right after',
    'after the commit of the last record',
    'what is committed before the release'
  ],
  'only the first position is committed': [
    onGroup('commit', commit => given => commit(given.slice(0, 1))),
    'several partitions are committed at once'
  ],
  'records are committed as they are read': [
    events((all, reader) => {
      for (const { topic, partition, records } of all.filter(event => event.kind === 'records'))
        void reader.commit([{ topic, partition, position: records.at(-1)!.position }])
      return all
    }),
    'what was not committed comes again'
  ],
  'commits are forgotten': [
    onGroup('commit', () => async () => {}),
    'a group goes on right after',
    'positions committed by one adapter'
  ],
  'every commit is accepted': [
    onGroup('commit', commit => given => commit(given).catch(() => {})),
    'a commit for a partition that was released',
    'a partition that was never assigned cannot be committed'
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
  'latest is earliest': [
    onGroup('seek', seek => (partition, at) => seek(partition, at === 'latest' ? 'earliest' : at)),
    'earliest is the first record'
  ],
  'committed is earliest': [
    onGroup('seek', seek => (partition, at) => seek(partition, at === 'committed' ? 'earliest' : at)),
    'committed is what the group committed'
  ],
  'what was queued is delivered after a seek': [
    onGroup('receive', receive => {
      let queued: readonly LogEvent[] = []
      return async options => {
        const all = (queued.length > 0 ? queued : await receive(options)).flatMap((event): LogEvent[] => {
          if (event.kind !== 'records' || event.records.length <= 5) return [event]
          return [
            { ...event, records: event.records.slice(0, 5) },
            { ...event, records: event.records.slice(5) }
          ]
        })
        queued = all.slice(1)
        return all.slice(0, 1)
      }
    }),
    'records that were queued before a seek'
  ],
  'any partition can be sought': [
    onGroup('seek', seek => (partition, at) => seek(partition, at).catch(() => {})),
    'a partition that is not assigned cannot be sought'
  ],
  'records are read backwards': [reading(records => records.toReversed()), 'records of one partition arrive in order'],
  'the end is always reached': [
    onPartition('receive', receive => async options => ({ ...(await receive(options)), atEnd: true })),
    'atEnd comes with'
  ],
  'the end is never reached': [
    onPartition('receive', receive => async options => ({ ...(await receive(options)), atEnd: false })),
    'an empty partition is at its end'
  ],
  'the end is what it was a call ago': [
    onPartition('receive', receive => {
      let known: Awaited<ReturnType<typeof receive>> | undefined
      return async options => {
        const stale = known
        known = undefined
        if (stale) return stale
        const batch = await receive(options)
        if (batch.atEnd) known = { records: [], atEnd: true }
        return batch
      }
    }),
    'what was written before a receive'
  ],
  'a partition is read from its start': [
    {
      adapter: adapter => {
        const { partitionReader } = adapter
        adapter.partitionReader = options => partitionReader!({ ...options, from: 'earliest' })
      }
    },
    'it starts at the latest',
    'it starts at a time'
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
  ]
}
