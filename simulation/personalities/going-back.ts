import type { AnyAdapter, LogEvent, LogReader, PartitionReader } from '../../src/spec/index.ts'
import type { Parts } from './personality.ts'

/** Readers that now and then give again what they gave before: a broker that answers with an old place (protocol F5). */
export function goingBack(adapter: AnyAdapter, { random, story, isHealed, client }: Parts): AnyAdapter {
  const { logReader, partitionReader } = adapter
  const hazard = random.pick([0, 0, 0.05])
  if (hazard === 0) return adapter
  const falls = (): boolean => !isHealed() && random.chance(hazard)
  return {
    ...adapter,
    ...(logReader && {
      logReader: async options => {
        const reader = await logReader.call(adapter, options)
        let given: LogEvent[] = []
        const repeating: LogReader = {
          async receive(asked) {
            if (given.length > 0 && falls()) {
              story.tell(() => `the reader of ${client} goes back`)
              return given.splice(0)
            }
            const events = await reader.receive(asked)
            // What has changed hands since must not come again.
            if (events.some(event => event.kind !== 'records')) given = []
            else given.push(...events)
            return events
          },
          async seek(place, at) {
            given = []
            await reader.seek(place, at)
          },
          commit: positions => reader.commit(positions),
          pause: partitions => reader.pause(partitions),
          resume: partitions => reader.resume(partitions),
          close: () => reader.close()
        }
        return repeating
      }
    }),
    ...(partitionReader && {
      partitionReader: async options => {
        const reader = await partitionReader.call(adapter, options)
        let given: Awaited<ReturnType<PartitionReader['receive']>>['records'] = []
        return {
          async receive(asked) {
            if (given.length > 0 && falls()) {
              const records = given
              given = []
              return { records, atEnd: false }
            }
            const received = await reader.receive(asked)
            given = [...given, ...received.records]
            return received
          },
          close: () => reader.close()
        }
      }
    })
  }
}
