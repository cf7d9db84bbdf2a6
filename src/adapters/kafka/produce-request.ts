import { versionOf } from './call.ts'
import type { VendorBroker } from './client.ts'
import type { Connection } from './connection.ts'
import { type Reader, Writer } from './wire.ts'

/** One request to write, versions 3 to 7. Source: kafka.apache.org/protocol#The_Messages_Produce. */
export interface ProduceRequest {
  readonly transactionalId: string | null
  readonly acks: number
  /** Ms. */
  readonly timeout: number
  /** At most one batch per partition. */
  readonly parts: readonly ProducePart[]
  /** For tests: the newest version to speak. */
  readonly newest?: number
}

export interface ProducePart {
  readonly topic: string
  readonly partition: number
  readonly batch: Buffer
}

export interface ProduceAnswer {
  readonly errorCode: number
  /** Of the first record. */
  readonly offset: number
}

/** The answer for each part, in order; `undefined` when the broker gives none (`acks: 0`). */
export async function produce(
  connection: Connection,
  broker: VendorBroker,
  { transactionalId, acks, timeout, parts, newest }: ProduceRequest
): Promise<readonly (ProduceAnswer | undefined)[]> {
  const version = versionOf(broker, 0, 'Produce', 3, newest ?? 7)
  const writer = new Writer(256 + parts.reduce((sum, { batch }) => sum + batch.byteLength + 64, 0))
  writer.string(transactionalId).int16(acks).int32(timeout)
  writer.array([...Map.groupBy(parts, ({ topic }) => topic)], ([topic, list]) => {
    writer.string(topic).array(list, ({ partition, batch }) => writer.int32(partition).block(batch))
  })
  const answers = await connection.call(broker, {
    apiKey: 0,
    apiVersion: version,
    apiName: 'Produce',
    body: writer.bytes,
    decode: reader => decode(version, reader),
    throttleFirst: false,
    timeout: timeout + 500,
    answered: acks !== 0
  })
  return parts.map(({ topic, partition }) => answers?.get(`${topic}/${partition}`))
}

function decode(version: number, reader: Reader): Map<string, ProduceAnswer> {
  const answers = new Map<string, ProduceAnswer>()
  reader.array(() => {
    const topic = reader.string()
    reader.array(() => {
      const partition = reader.int32()
      const errorCode = reader.int16()
      const offset = reader.int64()
      reader.int64() // the broker's time
      if (version >= 5) reader.int64() // log start
      answers.set(`${topic}/${partition}`, { errorCode, offset })
    })
  })
  return answers
}
