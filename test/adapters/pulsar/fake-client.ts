import type {
  NativeMessage,
  NativeMessageId,
  NativeMessageIds,
  NativeProducer,
  NativeReader,
  PulsarClient
} from '../../../src/adapters/pulsar/client.ts'
import { compareIds, decodeMessageId, encodeMessageId, type MessageId } from '../../../src/adapters/pulsar/positions.ts'

interface Stored {
  readonly id: MessageId
  readonly message: Record<string, any>
}

/**
 * What `pulsar-client` does, as far as its declarations and documents say, in memory: for the transport contract and for
 * the paths that a real client takes rarely. It proves nothing about the real client.
 */
export class FakeClient implements PulsarClient {
  readonly MessageId: NativeMessageIds = {
    earliest: () => messageId({ ledger: -1, entry: -1, batch: -1 }),
    deserialize: (bytes: Buffer) => messageId(decodeMessageId(bytes))
  }
  readonly topics: Map<string, Stored[]> = new Map()
  readonly highest: Map<string, number> = new Map()
  readonly producerOptions: Record<string, unknown>[] = []
  /** Called for each send; what it throws fails the send. */
  onSend: (count: number) => void = () => {}
  /** Reads fail with this from now on. */
  readFailure: Error | undefined
  /** Messages that were taken out of the client. */
  read = 0
  #sends = 0
  #wake = Promise.withResolvers<void>()

  async createProducer(options: Readonly<Record<string, unknown>>): Promise<NativeProducer> {
    this.producerOptions.push({ ...options })
    const topic = String(options['topic'])
    const name = options['producerName'] as string | undefined
    let closed = false
    return {
      send: async message => {
        const outcome = await this.#send(topic, name, message, closed)
        // As with the real one answers come later, those of failures perhaps sooner.
        await new Promise(resolve => setTimeout(resolve, Math.random() * 3))
        if (outcome instanceof Error) throw outcome
        return messageId(outcome)
      },
      close: async () => {
        closed = true
      }
    }
  }

  async createReader(options: Readonly<Record<string, unknown>>): Promise<NativeReader> {
    const log = this.#log(String(options['topic']))
    let after = decodeMessageId((options['startMessageId'] as { serialize(): Buffer }).serialize())
    return {
      readNext: async timeout => {
        const deadline = performance.now() + (timeout ?? Infinity)
        for (;;) {
          if (this.readFailure) throw this.readFailure
          const next = log.find(({ id }) => compareIds(id, after) > 0)
          if (next) {
            after = next.id
            this.read++
            return asMessage(next)
          }
          const left = deadline - performance.now()
          if (left <= 0) throw new Error('Failed to read next message: TimeOut')
          await Promise.race([this.#wake.promise, new Promise(resolve => setTimeout(resolve, Math.min(left, 20)))])
        }
      },
      close: async () => {}
    }
  }

  async close(): Promise<void> {}

  async #send(
    topic: string,
    name: string | undefined,
    message: Readonly<Record<string, unknown>>,
    closed: boolean
  ): Promise<MessageId | Error> {
    if (closed) return new Error('Failed to send message: AlreadyClosed')
    try {
      this.onSend(++this.#sends)
    } catch (error) {
      return error as Error
    }
    const sequence = message['sequenceId'] as number | undefined
    const known = `${name} ${topic}`
    if (name !== undefined && sequence !== undefined) {
      if (sequence <= (this.highest.get(known) ?? -1)) return { ledger: -1, entry: -1, batch: -1 }
      this.highest.set(known, sequence)
    }
    return this.#store(topic, message)
  }

  #log(topic: string): Stored[] {
    let log = this.topics.get(topic)
    if (!log) this.topics.set(topic, (log = []))
    return log
  }

  #store(topic: string, message: Readonly<Record<string, unknown>>): MessageId {
    const log = this.#log(topic)
    const id = { ledger: 5, entry: log.length, batch: -1 }
    log.push({ id, message })
    this.#wake.resolve()
    this.#wake = Promise.withResolvers()
    return id
  }
}

function messageId(id: MessageId): NativeMessageId {
  return { serialize: () => encodeMessageId(id) }
}

function asMessage({ id, message }: Stored): NativeMessage {
  return {
    getMessageId: () => messageId(id),
    getData: () => message['data'] as Buffer,
    getProperties: () => (message['properties'] ?? {}) as Record<string, string>,
    getPartitionKey: () => (message['partitionKey'] ?? '') as string,
    getEventTimestamp: () => (message['eventTimestamp'] ?? 0) as number,
    getPublishTimestamp: () => 1_700_000_000_000
  }
}
