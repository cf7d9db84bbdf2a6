import type { Sender } from 'rhea'
import { MapSection } from './amqp-bytes.ts'
import { type AmqpError, errors } from './errors.ts'
import { onGone } from './gone.ts'
import type { PartitionLog, StoredEvent } from './log.ts'
import type { Namespace } from './state.ts'

/** A client that reads a partition: the sender of the link that it has attached. */
interface Reader {
  readonly link: Sender
  /** `undefined` without an owner level. */
  readonly epoch: number | undefined
  disconnect(error: AmqpError): void
}

/** Who reads what, and who may: owner levels, and the limit of readers without one. */
export class Receivers {
  readonly #namespace: Namespace
  readonly #readers = new Map<string, Set<Reader>>()

  constructor(namespace: Namespace) {
    this.#namespace = namespace
  }

  /** Lets a reader in and disconnects those whom its owner level outranks; or says why it stays outside. */
  admit(place: string, link: Sender, epoch: number | undefined): AmqpError | undefined {
    let readers = this.#readers.get(place)
    if (!readers) this.#readers.set(place, (readers = new Set()))
    const highest = Math.max(-1, ...[...readers].map(reader => reader.epoch ?? -1))
    const name = String(link.properties?.['com.microsoft:receiver-name'] ?? link.name)
    if (highest > (epoch ?? 0) || (epoch === undefined && highest >= 0))
      return errors.higherEpoch(name, epoch ?? 0, highest)
    if (epoch === undefined) {
      const [, , group = '', , partition = ''] = place.split('/')
      const { maxReceivers } = this.#namespace.options
      if (readers.size >= maxReceivers) return errors.tooManyReceivers(group, partition, maxReceivers)
    } else {
      // An equal epoch wins as well: consumers that balance their load all use 0.
      for (const reader of readers) reader.disconnect(errors.stolen(epoch, reader.epoch ?? 0))
      readers.clear()
    }
    const reader: Reader = { link, epoch, disconnect: error => link.close(error as never) }
    readers.add(reader)
    const leave = (): void => void this.#readers.get(place)?.delete(reader)
    link.on('sender_close', leave)
    onGone(link.connection, leave)
    return undefined
  }
}

/** Sends what is in a partition, and what comes, as far as the client has given credit. */
export function deliver(link: Sender, log: PartitionLog, from: number, withMetrics: boolean): void {
  let next = from
  const pump = (): void => {
    if (!link.is_open()) return
    // Retention may have overtaken us.
    next = Math.max(next, log.begin)
    const { outgoing } = link.session as unknown as {
      outgoing: { available(): number; next_delivery_id: number; next_pending_delivery: number }
    }
    // What waits in the session has not used up its credit yet.
    const waiting = outgoing.next_delivery_id - outgoing.next_pending_delivery
    let room = Math.min((link as unknown as { credit: number }).credit - waiting, outgoing.available())
    for (; room > 0 && next <= log.last; room--, next++) {
      const event = log.at(next)!
      link.send((withMetrics ? metered(event, log) : event.bytes) as never, undefined, 0)
    }
  }
  link.on('sendable', pump)
  link.on('sender_flow', pump)
  const stop = log.onAppend(pump)
  link.on('sender_close', stop)
  onGone(link.connection, stop)
}

/** The event with delivery annotations that tell about the end of the partition. */
function metered({ bytes, header }: StoredEvent, log: PartitionLog): Buffer {
  const { offset = -1, enqueued = 0 } = log.lastEvent ?? {}
  const annotations = new MapSection()
    .long('last_enqueued_sequence_number', log.last)
    .string('last_enqueued_offset', String(offset))
    .timestamp('last_enqueued_time_utc', enqueued)
    .timestamp('runtime_info_retrieval_time_utc', Date.now())
  return Buffer.concat([bytes.subarray(0, header), annotations.section('delivery annotations'), bytes.subarray(header)])
}

/** Sequence number of the first event that a selector filter lets through, or what is wrong with the filter. */
export function startOf(filter: string | undefined, log: PartitionLog): number | AmqpError {
  if (filter === undefined) return log.begin
  const parts = /^amqp\.annotation\.x-opt-(offset|sequence-number|enqueued-time)\s*(>=?)\s*'?([^']*)'?$/.exec(
    filter.trim()
  )
  if (!parts) return errors.badFilter(filter)
  const [, field, operator, value] = parts as unknown as [string, string, string, string]
  const number = Number(value)
  const inclusive = operator === '>='
  if (field === 'offset' && value === '@latest') return log.last + 1
  if (Number.isNaN(number)) return errors.badFilter(filter)
  if (field === 'offset')
    return number < 0 ? log.begin : log.find(({ offset }) => (inclusive ? offset >= number : offset > number))
  if (field === 'enqueued-time') return log.find(({ enqueued }) => (inclusive ? enqueued >= number : enqueued > number))
  if (number > log.last + (inclusive ? 1 : 0)) return errors.badSequence(number, log.last)
  return Math.max(log.begin, inclusive ? number : number + 1)
}
