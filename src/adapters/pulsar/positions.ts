import { StreamError } from '../../core/errors.ts'
import type { Position } from '../../core/record.ts'

/** Where a message is in its partition. Messages of one batch share an entry and are told apart by `batch`, else -1. */
export interface MessageId {
  readonly ledger: number
  readonly entry: number
  readonly batch: number
}

/** The place before the first message. */
export const beforeAll: MessageId = { ledger: -1, entry: -1, batch: -1 }

/** Negative when `left` is before `right`. */
export function compareIds(left: MessageId, right: MessageId): number {
  return left.ledger - right.ledger || left.entry - right.entry || left.batch - right.batch
}

/** `12:34`, and `12:34:5` inside of a batch. */
export function positionOf({ ledger, entry, batch }: MessageId): Position {
  return batch < 0 ? `${ledger}:${entry}` : `${ledger}:${entry}:${batch}`
}

/** Throws `corrupt` for a position that is not of this adapter. */
export function idOf(position: Position): MessageId {
  const parts = /^(\d{1,15}):(-1|\d{1,15})(?::(\d{1,9}))?$/.exec(position)
  if (!parts)
    throw new StreamError(
      'corrupt',
      `'${position}' is not a position in a Pulsar topic: ledger:entry or ledger:entry:batch`,
      {
        adapter: 'pulsar'
      }
    )
  return { ledger: Number(parts[1]), entry: Number(parts[2]), batch: parts[3] === undefined ? -1 : Number(parts[3]) }
}

export function comparePositions(left: Position, right: Position): number {
  return compareIds(idOf(left), idOf(right))
}

/**
 * The protobuf message `MessageIdData`: ledgerId 1, entryId 2, partition 3, batch_index 4. Fields that say more (the
 * size of the batch, acknowledgements) are skipped. Throws `corrupt`.
 * Source: PulsarApi.proto of Apache Pulsar 4.0.
 */
export function decodeMessageId(bytes: Uint8Array): MessageId {
  const id = { ledger: -1, entry: -1, batch: -1 }
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 0x80) {
      const byte = bytes[at++]
      if (byte === undefined) throw new StreamError('corrupt', 'a Pulsar message id ends early', { adapter: 'pulsar' })
      value += (byte & 0x7f) * scale
      // A negative number has ten bytes; no other number comes near 2^63.
      if (byte < 0x80) return value >= 2 ** 63 ? -1 : value
    }
  }
  while (at < bytes.length) {
    const tag = varint()
    if ((tag & 7) === 2) {
      at += varint()
      continue
    }
    if ((tag & 7) !== 0)
      throw new StreamError('corrupt', `a Pulsar message id has the tag ${tag}`, { adapter: 'pulsar' })
    const value = varint()
    if (tag === 0x08) id.ledger = value
    else if (tag === 0x10) id.entry = value
    else if (tag === 0x20) id.batch = value
  }
  return id
}

/** The other way round, without a partition: the topic says it. */
export function encodeMessageId({ ledger, entry, batch }: MessageId): Buffer {
  const bytes: number[] = []
  const field = (tag: number, value: number): void => {
    bytes.push(tag)
    for (let rest = BigInt.asUintN(64, BigInt(value)); ; rest >>= 7n) {
      const low = Number(rest & 0x7fn)
      if (rest < 0x80n) {
        bytes.push(low)
        return
      }
      bytes.push(low | 0x80)
    }
  }
  field(0x08, ledger)
  field(0x10, entry)
  if (batch >= 0) field(0x20, batch)
  return Buffer.from(bytes)
}
