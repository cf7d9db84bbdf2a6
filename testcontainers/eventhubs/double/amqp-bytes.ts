/**
 * The few encodings of AMQP 1.0 that are worth doing by hand: events are kept as the bytes that the client sent, and only
 * their annotations are written anew. Source: OASIS AMQP 1.0, parts 1.6 (primitive types) and 3.2 (message format).
 */

/** Section descriptors. */
const HEADER = 0x70
const DELIVERY_ANNOTATIONS = 0x71
const MESSAGE_ANNOTATIONS = 0x72
const DATA = 0x75

/** Bytes of an encoded value, constructor included. Throws for what is no AMQP. */
export function sizeOfValue(bytes: Buffer, at: number): number {
  const code = bytes[at]
  if (code === undefined) throw new Error('an AMQP value ends early')
  if (code === 0x00) {
    const descriptor = sizeOfValue(bytes, at + 1)
    return 1 + descriptor + sizeOfValue(bytes, at + 1 + descriptor)
  }
  switch (code >> 4) {
    case 0x4:
      return 1
    case 0x5:
      return 2
    case 0x6:
      return 3
    case 0x7:
      return 5
    case 0x8:
      return 9
    case 0x9:
      return 17
    case 0xa:
    case 0xc:
    case 0xe:
      return 2 + bytes[at + 1]!
    case 0xb:
    case 0xd:
    case 0xf:
      return 5 + bytes.readUInt32BE(at + 1)
    default:
      throw new Error(`0x${code.toString(16)} is no constructor of AMQP`)
  }
}

interface Section {
  readonly code: number
  /** Where the described value begins, and where the section ends. */
  readonly value: number
  readonly end: number
}

/** A section of a message. Clients write its descriptor as a ulong, short or long. */
function sectionAt(bytes: Buffer, at: number): Section {
  if (bytes[at] !== 0x00) throw new Error(`a message section begins with 0, not with ${bytes[at]}`)
  const code = bytes[at + 1] === 0x53 ? bytes[at + 2]! : Number(bytes.readBigUInt64BE(at + 2))
  const value = at + 1 + sizeOfValue(bytes, at + 1)
  return { code, value, end: value + sizeOfValue(bytes, value) }
}

/** A batch: its data sections hold one encoded message each. */
export function messagesOf(batch: Buffer): Buffer[] {
  const messages: Buffer[] = []
  for (let at = 0; at < batch.length;) {
    const { code, value, end } = sectionAt(batch, at)
    if (code === DATA) messages.push(batch.subarray(value + (batch[value] === 0xa0 ? 2 : 5), end))
    at = end
  }
  return messages
}

/** The message annotations of a batch or a message as an encoded map, `undefined` where there are none. */
export function annotationsOf(message: Buffer): Buffer | undefined {
  for (let at = 0; at < message.length;) {
    const { code, value, end } = sectionAt(message, at)
    if (code === MESSAGE_ANNOTATIONS) return isEmptyMap(message, value) ? undefined : message.subarray(value, end)
    if (code > MESSAGE_ANNOTATIONS) return undefined
    at = end
  }
  return undefined
}

/** The header section, and what follows the annotations: properties, application properties, body. */
export function splitMessage(message: Buffer): { readonly header: Buffer; readonly rest: Buffer } {
  let header = message.subarray(0, 0)
  let at = 0
  while (at < message.length) {
    const { code, end } = sectionAt(message, at)
    if (code === HEADER) header = message.subarray(at, end)
    else if (code !== DELIVERY_ANNOTATIONS && code !== MESSAGE_ANNOTATIONS) break
    at = end
  }
  return { header, rest: message.subarray(at) }
}

function isEmptyMap(bytes: Buffer, at: number): boolean {
  return bytes[at] === 0x45 || (bytes[at] === 0xc1 && bytes[at + 2] === 0)
}

/** Writes a section that is a map with symbols for keys. */
export class MapSection {
  readonly #parts: Buffer[] = []
  #count = 0

  long(key: string, value: number): this {
    const bytes = Buffer.allocUnsafe(9)
    bytes[0] = 0x81
    bytes.writeBigInt64BE(BigInt(value), 1)
    return this.#add(key, bytes)
  }

  timestamp(key: string, milliseconds: number): this {
    const bytes = Buffer.allocUnsafe(9)
    bytes[0] = 0x83
    bytes.writeBigInt64BE(BigInt(milliseconds), 1)
    return this.#add(key, bytes)
  }

  string(key: string, value: string): this {
    return this.#add(key, shortOrLong(0xa1, Buffer.from(value)))
  }

  /** What is encoded already: pairs of key and value. */
  pairs(bytes: Buffer, count: number): this {
    this.#parts.push(bytes)
    this.#count += count
    return this
  }

  section(code: 'delivery annotations' | 'message annotations'): Buffer {
    const size = this.#parts.reduce((sum, part) => sum + part.length, 0)
    const head = Buffer.allocUnsafe(12)
    head.set([0x00, 0x53, code === 'delivery annotations' ? DELIVERY_ANNOTATIONS : MESSAGE_ANNOTATIONS, 0xd1])
    head.writeUInt32BE(size + 4, 4)
    head.writeUInt32BE(this.#count * 2, 8)
    return Buffer.concat([head, ...this.#parts])
  }

  #add(key: string, value: Buffer): this {
    this.#parts.push(symbol(key), value)
    this.#count++
    return this
  }
}

const symbols = new Map<string, Buffer>()

function symbol(text: string): Buffer {
  let bytes = symbols.get(text)
  if (!bytes) symbols.set(text, (bytes = shortOrLong(0xa3, Buffer.from(text))))
  return bytes
}

function shortOrLong(code: number, content: Buffer): Buffer {
  if (content.length < 256) return Buffer.concat([Buffer.from([code, content.length]), content])
  const head = Buffer.allocUnsafe(5)
  head[0] = code + 0x10
  head.writeUInt32BE(content.length, 1)
  return Buffer.concat([head, content])
}

/** Pairs of an encoded map as they are, but for those with one of these keys, whose text is given. */
export function pairsOf(
  map: Buffer,
  taken: ReadonlySet<string>
): { readonly bytes: Buffer; readonly count: number; readonly texts: ReadonlyMap<string, string> } {
  const wide = map[0] === 0xd1
  const parts: Buffer[] = []
  const texts = new Map<string, string>()
  for (let at = wide ? 9 : 3; at < map.length;) {
    const key = map.subarray(at, at + sizeOfValue(map, at))
    const value = map.subarray(at + key.length, at + key.length + sizeOfValue(map, at + key.length))
    const name = textOf(key)
    if (taken.has(name)) texts.set(name, textOf(value))
    else parts.push(key, value)
    at += key.length + value.length
  }
  return { bytes: Buffer.concat(parts), count: parts.length / 2, texts }
}

function textOf(value: Buffer): string {
  const wide = value[0]! >> 4 === 0xb
  return value.subarray(wide ? 5 : 2).toString()
}
