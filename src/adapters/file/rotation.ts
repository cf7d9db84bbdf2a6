import type { RecordsReceived } from '../../spec/index.ts'
import type { FileConnection } from './client.ts'
import type { Cursor } from './cursor.ts'

/** Most bytes of one `receive`: what is read but not processed is bounded by the front. */
export const readBytes: number = 1024 * 1024

/** Most record events of one `receive`. */
const handful = 8

/** Reads several cursors in turn, so that no partition starves and little is held between two calls. */
export class Rotation {
  readonly #connection: FileConnection
  /** The cursor that was begun last. */
  #last: Cursor | undefined

  constructor(connection: FileConnection) {
    this.#connection = connection
  }

  /** Throws `unknown-topic`, `position-lost`, `corrupt`. */
  read(cursors: readonly Cursor[], maxBytes: number): RecordsReceived[] {
    const events: RecordsReceived[] = []
    this.#connection.snapshot(() => {
      let room = Math.min(readBytes, maxBytes)
      for (const cursor of this.#inTurn(cursors)) {
        if (room <= 0 || events.length >= handful) break
        try {
          if (!cursor.inside) this.#last = cursor
          const { records, bytes, behind } = cursor.read(room)
          if (records.length === 0) continue
          room -= bytes
          events.push({ kind: 'records', topic: cursor.topic, partition: cursor.partition, records, behind })
        } catch (error) {
          // What the others gave comes first, then the next call meets the error again.
          if (events.length === 0) throw error
        }
        // Its batch is kept for the next call, which begins with it: so there is one such batch, not one per partition.
        if (cursor.inside) break
      }
    })
    return events
  }

  /** Those that have something to read: the one that is inside of a batch, then those behind the last one in turn. */
  #inTurn(cursors: readonly Cursor[]): Cursor[] {
    const next = this.#last === undefined ? 0 : cursors.indexOf(this.#last) + 1
    const inside = cursors.filter(cursor => cursor.inside)
    return this.#behind([...inside, ...cursors.slice(next), ...cursors.slice(0, next)])
  }

  /** One look per topic, not one per partition. */
  #behind(cursors: readonly Cursor[]): Cursor[] {
    const ends = new Map<number, ReadonlyMap<number, number>>()
    return cursors.filter(cursor => {
      let topic = ends.get(cursor.topicId)
      if (!topic) {
        const rows = this.#connection.sql.allEnds.all(cursor.topicId) as unknown as {
          partition: number
          next: number
        }[]
        ends.set(cursor.topicId, (topic = new Map(rows.map(({ partition, next }) => [partition, next]))))
      }
      return cursor.isBehind(topic.get(cursor.partition) ?? 0)
    })
  }
}
