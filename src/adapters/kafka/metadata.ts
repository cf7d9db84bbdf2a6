import { callBroker, versionOf } from './call.ts'
import type { VendorBroker, VendorMetadata } from './client.ts'
import { Writer } from './wire.ts'

/**
 * Asks a broker for the cluster, and for topics (`null`: all of them), versions 1 to 6. kafkajs's own call fails for every
 * topic when one of them is gone or one partition has no leader: here each topic and partition keeps its own error code, and
 * a partition without a leader has leader -1. Never creates a topic.
 * Source: kafka.apache.org/protocol#The_Messages_Metadata.
 */
export async function fetchMetadata(broker: VendorBroker, topics: readonly string[] | null): Promise<VendorMetadata> {
  const version = versionOf(broker, 3, 'Metadata', 1, 6)
  const writer = new Writer()
  if (topics) writer.array(topics, topic => writer.string(topic))
  else writer.int32(-1)
  if (version >= 4) writer.int8(0)
  return callBroker(broker, {
    apiKey: 3,
    apiVersion: version,
    apiName: 'Metadata',
    body: writer.bytes,
    throttleFirst: version >= 3,
    decode: reader => ({
      brokers: reader.array(() => ({
        nodeId: reader.int32(),
        host: reader.string() ?? '',
        port: reader.int32(),
        rack: reader.string()
      })),
      clusterId: version >= 2 ? reader.string() : null,
      controllerId: reader.int32(),
      topicMetadata: reader.array(() => ({
        topicErrorCode: reader.int16(),
        topic: reader.string() ?? '',
        isInternal: reader.int8() !== 0,
        partitionMetadata: reader.array(() => {
          const partition = {
            partitionErrorCode: reader.int16(),
            partitionId: reader.int32(),
            leader: reader.int32(),
            replicas: reader.array(() => reader.int32()),
            isr: reader.array(() => reader.int32())
          }
          return { ...partition, offlineReplicas: version >= 5 ? reader.array(() => reader.int32()) : [] }
        })
      }))
    })
  })
}
