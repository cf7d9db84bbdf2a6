import type { VendorBroker } from './client.ts'
import type { Connection } from './connection.ts'
import { Writer } from './wire.ts'

const describeTransactions = 65

/**
 * What the coordinator says of an id: `Ongoing`, `PrepareCommit`, `CompleteCommit` and the like; empty on a broker before
 * Kafka 3.0, which cannot be asked. Source: kafka.apache.org/protocol#The_Messages_DescribeTransactions.
 */
export async function transactionState(connection: Connection, broker: VendorBroker, id: string): Promise<string> {
  if (!broker.versions?.[describeTransactions]) return ''
  const name = Buffer.from(id)
  const writer = new Writer()
  writer.int8(0) // no tagged fields: the end of a newer request header, which kafkajs does not write
  uvarint(writer, 2) // one id, counted from 1
  uvarint(writer, name.length + 1)
  writer.raw(name)
  writer.int8(0)
  return connection.call(broker, {
    apiKey: describeTransactions,
    apiVersion: 0,
    apiName: 'DescribeTransactions',
    body: writer.bytes,
    decode: reader => {
      reader.int8() // end of the response header
      reader.int32() // throttle time
      if (reader.uvarint() < 2 || reader.int16() !== 0) return ''
      reader.skip(reader.uvarint() - 1) // the id
      const length = reader.uvarint() - 1
      const at = reader.skip(length)
      return reader.bytes.toString('latin1', at, at + length)
    },
    throttleFirst: false
  })
}

function uvarint(writer: Writer, value: number): void {
  for (; value >= 0x80; value >>>= 7) writer.uint8((value & 0x7f) | 0x80)
  writer.uint8(value)
}
