import { expect, test } from 'vitest'
import { compareIds, type MessageId } from '../../../src/adapters/pulsar/positions.ts'
import type {
  IncomingMessage,
  OutgoingMessage,
  ProducerLink,
  ReaderLink,
  Transport
} from '../../../src/adapters/pulsar/transport.ts'
import { failure, until } from './server.ts'

/** How the contract reaches one transport. */
export interface TransportHarness {
  open(): Promise<Transport>
  /** A new topic of one partition, by the full name of that partition. */
  topic(deduplication: boolean): Promise<string>
  /** From now on sends to the topic fail. */
  breakTopic(topic: string): Promise<void>
}

const maxInFlight = 100

export function message(text: string, more: Partial<OutgoingMessage> = {}): OutgoingMessage {
  return { key: undefined, payload: Buffer.from(text), properties: {}, eventTime: 0, sequence: undefined, ...more }
}

interface Outcome {
  readonly error: unknown
  readonly id: MessageId | undefined
}

/** Sends all at once; outcomes in the order in which they were told. */
export function sendAll(
  link: ProducerLink,
  messages: readonly OutgoingMessage[]
): Promise<(Outcome & { index: number })[]> {
  return new Promise(resolve => {
    const outcomes: (Outcome & { index: number })[] = []
    for (const [index, each] of messages.entries())
      link.send(each, (error, id) => {
        outcomes.push({ error, id, index })
        if (outcomes.length === messages.length) resolve(outcomes)
      })
  })
}

const range = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => String(from + index))
const text = ({ payload }: IncomingMessage): string => Buffer.from(payload!).toString()

class Received {
  readonly messages: IncomingMessage[] = []
  failure: unknown
  readonly #transport: Transport
  readonly #topic: string
  link!: ReaderLink

  constructor(transport: Transport, topic: string) {
    this.#transport = transport
    this.#topic = topic
  }

  async open(
    after: MessageId | undefined,
    window: number,
    onMessage: (link: ReaderLink) => void = () => {}
  ): Promise<this> {
    this.link = await this.#transport.reader({
      topic: this.#topic,
      after,
      window,
      message: (each, link) => {
        this.messages.push(each)
        onMessage(link)
      },
      failed: error => (this.failure = error)
    })
    return this
  }

  async reaches(count: number): Promise<void> {
    await until(async () => this.messages.length >= count)
  }

  /** Long enough for what should not come. */
  async lingers(): Promise<void> {
    await new Promise(resolve => setTimeout(resolve, 400))
  }
}

/** What a transport must do, whichever it is. */
export function transportContract(harness: () => TransportHarness): void {
  const opened = async (
    deduplication = false
  ): Promise<{ transport: Transport; topic: string; [Symbol.asyncDispose](): Promise<void> }> => {
    const topic = await harness().topic(deduplication)
    const transport = await harness().open()
    return { transport, topic, [Symbol.asyncDispose]: () => transport.close() }
  }

  test('sends are told in their order, later than they were made, with ids that grow', async () => {
    await using at = await opened()
    const link = await at.transport.producer({ topic: at.topic, maxInFlight })
    let told = false
    link.send(message('first'), () => (told = true))
    expect(told).toBe(false)
    const outcomes = await sendAll(
      link,
      range(0, 90).map(each => message(each))
    )
    expect(told).toBe(true)
    expect(outcomes.map(({ index }) => index)).toEqual(outcomes.map((_, index) => index))
    expect(outcomes.filter(({ error }) => error !== undefined)).toEqual([])
    for (const [index, { id }] of outcomes.entries())
      if (index > 0) expect(compareIds(id!, outcomes[index - 1]!.id!)).toBeGreaterThan(0)
  })

  test('a reader begins at the first message, or behind an id', async () => {
    await using at = await opened()
    const link = await at.transport.producer({ topic: at.topic, maxInFlight })
    const outcomes = await sendAll(
      link,
      range(0, 20).map(each => message(each))
    )
    const all = await new Received(at.transport, at.topic).open(undefined, 100)
    await all.reaches(20)
    expect(all.messages.map(text)).toEqual(range(0, 20))
    expect(all.messages.map(({ id }) => id)).toEqual(outcomes.map(({ id }) => id))
    const rest = await new Received(at.transport, at.topic).open(outcomes[6]!.id, 100)
    await sendAll(
      link,
      range(20, 25).map(each => message(each))
    )
    await rest.reaches(18)
    expect(rest.messages.map(text)).toEqual(range(7, 25))
  })

  test('key, properties, event time and bytes come back', async () => {
    await using at = await opened()
    const payload = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
    const properties = { größe: '✓ 🌊', empty: '' }
    const link = await at.transport.producer({ topic: at.topic, maxInFlight })
    await sendAll(link, [
      message('', { payload, key: 'schlüssel', properties, eventTime: 1_700_000_000_123 }),
      message('')
    ])
    const received = await new Received(at.transport, at.topic).open(undefined, 10)
    await received.reaches(2)
    const { messages } = received
    expect(messages[0]).toMatchObject({ key: 'schlüssel', properties, eventTime: 1_700_000_000_123 })
    expect(Buffer.from(messages[0]!.payload!)).toEqual(payload)
    expect(messages[1]).toMatchObject({ key: undefined, properties: {}, eventTime: 0 })
    expect(messages[1]!.payload).toHaveLength(0)
    expect(messages[1]!.publishTime).toBeGreaterThan(1_600_000_000_000)
  })

  test('a reader gets as many as its window, and then as many as it asks for', async () => {
    await using at = await opened()
    await sendAll(
      await at.transport.producer({ topic: at.topic, maxInFlight }),
      range(0, 50).map(each => message(each))
    )
    const received = await new Received(at.transport, at.topic).open(undefined, 8)
    await received.reaches(8)
    await received.lingers()
    expect(received.messages).toHaveLength(8)
    received.link.more(5)
    await received.reaches(13)
    await received.lingers()
    expect(received.messages).toHaveLength(13)
    received.link.more(2)
    received.link.more(60)
    await received.reaches(50)
    expect(received.messages.map(text)).toEqual(range(0, 50))
  })

  test('a reader that is paused from within its first message is silent until it resumes', async () => {
    await using at = await opened()
    const bytes = Buffer.alloc(200_000)
    await sendAll(
      await at.transport.producer({ topic: at.topic, maxInFlight }),
      range(0, 40).map(() => message('', { payload: bytes }))
    )
    const received = new Received(at.transport, at.topic)
    await received.open(undefined, 1_000, link => {
      if (received.messages.length === 1) link.pause()
    })
    await received.reaches(1)
    await received.lingers()
    expect(received.messages.length).toBeLessThan(20)
    received.link.resume()
    await received.reaches(40)
    await received.link.close()
  })

  test('nothing comes from a reader that is closed, paused or not', async () => {
    await using at = await opened()
    const link = await at.transport.producer({ topic: at.topic, maxInFlight })
    const [first, second] = [new Received(at.transport, at.topic), new Received(at.transport, at.topic)]
    await first.open(undefined, 10)
    await second.open(undefined, 10)
    second.link.pause()
    await Promise.all([first.link.close(), second.link.close()])
    await sendAll(link, [message('late')])
    await first.lingers()
    for (const { messages, failure: failed } of [first, second]) expect([messages, failed]).toEqual([[], undefined])
  })

  test('a producer that is closed takes nothing more', async () => {
    await using at = await opened()
    const link = await at.transport.producer({ topic: at.topic, maxInFlight })
    await sendAll(link, [message('one')])
    await link.close()
    await link.close()
    expect(link.usable).toBe(false)
    const [outcome] = await sendAll(link, [message('two')])
    expect(outcome!.error).toMatchObject({ code: 'closed' })
  })

  test('after a send that failed everything fails', async () => {
    await using at = await opened()
    const link = await at.transport.producer({ topic: at.topic, maxInFlight })
    await sendAll(link, [message('one')])
    await harness().breakTopic(at.topic)
    const outcomes = await sendAll(
      link,
      range(0, 10).map(each => message(each))
    )
    expect(outcomes.filter(({ error }) => error === undefined)).toEqual([])
    expect(link.usable).toBe(false)
  })

  test('with deduplication, numbers that were sent before are told as stored, without an id', async () => {
    await using at = await opened(true)
    const send = async (from: number, to: number): Promise<(MessageId | undefined)[]> => {
      const identity = { name: 'task-7', lastSequence: from - 1 }
      const link = await at.transport.producer({ topic: at.topic, maxInFlight, identity })
      const numbered = range(from, to).map(each => message(each, { sequence: Number(each) }))
      const outcomes = await sendAll(link, numbered)
      await link.close()
      for (const { error } of outcomes) if (error !== undefined) throw error
      return outcomes.map(({ id }) => id)
    }
    expect((await send(1, 11)).filter(id => id === undefined)).toEqual([])
    const again = await send(5, 15)
    expect(again.slice(0, 6)).toEqual(Array(6).fill(undefined))
    expect(again.slice(6).filter(id => id === undefined)).toEqual([])
    const received = await new Received(at.transport, at.topic).open(undefined, 100)
    await received.reaches(14)
    await received.lingers()
    expect(received.messages.map(text)).toEqual(range(1, 15))
  })

  test('a transport that is closed closes what it opened, and opens nothing more', async () => {
    const topic = await harness().topic(false)
    const transport = await harness().open()
    const link = await transport.producer({ topic, maxInFlight })
    const received = await new Received(transport, topic).open(undefined, 10)
    await transport.close()
    expect(link.usable).toBe(false)
    expect(received.failure).toBe(undefined)
    expect(await failure(transport.producer({ topic, maxInFlight }))).toMatchObject({ code: 'closed' })
    expect(await failure(new Received(transport, topic).open(undefined, 10))).toMatchObject({ code: 'closed' })
  })
}
