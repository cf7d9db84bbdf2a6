import { view, type Codec, type CodecContext } from '../core/codec.ts'
import { StreamError } from '../core/errors.ts'
import type { AnyTopic } from '../core/topic.ts'
import { decodeTimeline, encodeTimeline, Timeline } from './timeline.ts'

/** What an interval join keeps of a key. */
export interface StoredSides {
  readonly left: Timeline
  readonly right: Timeline
  /** The time of the earliest timer that is set for the key; `Infinity`: none. */
  readonly armed: number
}

export const noSides: StoredSides = { left: Timeline.empty, right: Timeline.empty, armed: Infinity }

const version = 1
/** version, timer, length of the left side. */
const headerBytes = 1 + 8 + 4

/** Both sides of a key as one value of its state. */
export function storedSides(left: Codec<unknown>, right: Codec<unknown>): Codec<StoredSides> {
  return {
    name: `${left.name} and ${right.name}`,
    encode(sides) {
      const header = Buffer.allocUnsafe(headerBytes)
      const leftBytes = encodeTimeline(sides.left, left)
      header.writeUInt8(version, 0)
      header.writeDoubleBE(sides.armed, 1)
      header.writeUInt32BE(leftBytes.byteLength, 9)
      return Buffer.concat([header, leftBytes, encodeTimeline(sides.right, right)])
    },
    decode(row) {
      const [leftRow, rightRow] = split(row)
      return {
        left: Timeline.of(decodeTimeline(leftRow, body => body && left.decode(body))),
        right: Timeline.of(decodeTimeline(rightRow, body => body && right.decode(body))),
        armed: view(row).readDoubleBE(1)
      }
    },
    ...((left.prepare || right.prepare) && {
      prepare: rows => {
        const parts = rows.map(split)
        const waits = [
          left.prepare?.(parts.flatMap(([row]) => bodiesOf(row))),
          right.prepare?.(parts.flatMap(([, row]) => bodiesOf(row)))
        ]
        return waits.some(Boolean) ? Promise.all(waits).then(() => {}) : undefined
      }
    })
  }
}

/** The codec of a state that holds values of topics: bound as those topics are, whatever the state is called. */
export function boundAs<Value>(
  topics: readonly AnyTopic[],
  codecOf: (...values: readonly Codec<unknown>[]) => Codec<Value>
): Codec<Value> {
  const codec = codecOf(...topics.map(({ value }) => value))
  if (!topics.some(({ value }) => value.bind)) return codec
  const bound = ({ value, name }: AnyTopic, { registry }: CodecContext): Promise<Codec<unknown>> | Codec<unknown> =>
    value.bind ? value.bind({ topic: name, part: 'value', registry }) : value
  return {
    ...codec,
    bind: async context => codecOf(...(await Promise.all(topics.map(topic => bound(topic, context)))))
  }
}

function split(row: Uint8Array): readonly [Uint8Array, Uint8Array] {
  const bytes = view(row)
  if (bytes[0] !== version)
    throw new StreamError('corrupt', `the state of a join is of version ${bytes[0]}, this release reads ${version}`)
  const end = headerBytes + bytes.readUInt32BE(9)
  return [bytes.subarray(headerBytes, end), bytes.subarray(end)]
}

function bodiesOf(row: Uint8Array): Uint8Array[] {
  return decodeTimeline(row, body => body).flatMap(({ value }) => (value === null ? [] : [value]))
}
