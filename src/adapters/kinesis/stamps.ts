import { decodeStamp, encodeStamp, type Stamp } from '../../core/stamp.ts'
import type { Tag } from './aggregate.ts'

/**
 * Stamps in the tags of an aggregate. The first one is whole, in base64url, under `~s`. One that goes on from the stamp
 * before it (same producer, next sequence) is only its difference, under `~`: event time, and the watermark if it rose, as
 * numbers of base 32 in the characters of base64url, behind a `!` when it is late. That is 5 to 13 bytes instead of 43, of
 * which a shard takes 1 MiB a second.
 */
const names = { whole: '~s', next: '~' }
const lateFlag = '!'

const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const values: readonly number[] = Array.from({ length: 128 }, (_, code) => digits.indexOf(String.fromCharCode(code)))

/** Turns the stamps of one aggregate, in their order, into tags. */
export class StampWriter {
  #last: Stamp | undefined

  tag(stamp: Uint8Array): Tag {
    const decoded = decodedOf(stamp)
    const short = decoded && this.#last && difference(this.#last, decoded)
    this.#last = decoded
    // Whatever it is, it comes back byte for byte.
    if (short !== undefined && encoded(decoded!).equals(stamp)) return [names.next, short]
    return [names.whole, Buffer.from(stamp.buffer, stamp.byteOffset, stamp.byteLength).toString('base64url')]
  }
}

/** Turns the tags of one aggregate, in their order, back into stamps. */
export class StampReader {
  #last: Stamp | undefined

  /** `undefined` for a tag that is no stamp. */
  stamp([name, value]: Tag): Uint8Array | undefined {
    if (name === names.whole) {
      const bytes = Buffer.from(value, 'base64url')
      this.#last = decodedOf(bytes)
      return bytes
    }
    if (name !== names.next || !this.#last) return undefined
    this.#last = following(this.#last, value)
    return encoded(this.#last)
  }
}

export function isStampTag(name: string): boolean {
  return name === names.whole || name === names.next
}

function difference(last: Stamp, { producer, sequence, eventTime, watermark, late }: Stamp): string | undefined {
  if (producer !== last.producer || sequence !== last.sequence + 1) return undefined
  const flag = late ? lateFlag : ''
  if (watermark !== undefined) return flag + number(eventTime - last.eventTime) + number(eventTime - watermark)
  return eventTime === last.eventTime ? flag : flag + number(eventTime - last.eventTime)
}

function following({ producer, sequence, eventTime: before }: Stamp, value: string): Stamp {
  const late = value.startsWith(lateFlag)
  const cursor = { at: late ? 1 : 0 }
  const eventTime = before + (cursor.at < value.length ? numberAt(value, cursor) : 0)
  const watermark = cursor.at < value.length ? eventTime - numberAt(value, cursor) : undefined
  return { producer, sequence: sequence + 1, eventTime, watermark, late }
}

function encoded({ producer, sequence, eventTime, watermark, late }: Stamp): Buffer {
  return encodeStamp(producer, sequence, eventTime, watermark, late)
}

/** `undefined` for a stamp of a later version: it is carried, not understood. */
function decodedOf(stamp: Uint8Array): Stamp | undefined {
  try {
    return decodeStamp(stamp)
  } catch {
    return undefined
  }
}

/** Lowest digits first; the highest bit of a digit says that more follow, the lowest bit of the number is its sign. */
function number(value: number): string {
  let rest = value >= 0 ? value * 2 : -value * 2 - 1
  let text = ''
  for (; rest >= 32; rest = Math.floor(rest / 32)) text += digits[32 + (rest % 32)]
  return text + digits[rest]
}

function numberAt(text: string, cursor: { at: number }): number {
  let value = 0
  for (let scale = 1; cursor.at < text.length; scale *= 32) {
    const digit = values[text.charCodeAt(cursor.at++)] ?? -1
    if (digit < 0) return 0
    value += (digit % 32) * scale
    if (digit < 32) break
  }
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2
}
