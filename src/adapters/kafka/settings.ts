import type { BrokerSettings, Setting, TopicSettings } from '../../spec/admin.ts'
import { callBroker, versionOf } from './call.ts'
import type { VendorBroker } from './client.ts'
import { protocolError } from './errors.ts'
import { Writer } from './wire.ts'

/** What a topic or a broker is set to, by name. */
type Configs = ReadonlyMap<string, string>

const topicResource = 2
const brokerResource = 4
const notAuthorized = [29, 31]

/**
 * Asks for the settings of one topic or broker, versions 1 and 2. `undefined` when this client may not know them.
 * Source: kafka.apache.org/protocol#The_Messages_DescribeConfigs.
 */
async function describeConfigs(broker: VendorBroker, type: number, name: string): Promise<Configs | undefined> {
  const writer = new Writer()
  writer.array([name], each => {
    writer.int8(type).string(each).int32(-1) // all of its settings
  })
  writer.int8(0) // without synonyms
  return callBroker(broker, {
    apiKey: 32,
    apiVersion: versionOf(broker, 32, 'DescribeConfigs', 1, 2),
    apiName: 'DescribeConfigs',
    body: writer.bytes,
    throttleFirst: true,
    decode: reader => {
      const [found] = reader.array(() => {
        const error = reader.int16()
        reader.string()
        reader.int8()
        reader.string()
        const configs = reader.array(() => {
          const setting = reader.string() ?? ''
          const value = reader.string() ?? ''
          reader.int8() // read only
          reader.int8() // source
          const isSensitive = reader.int8() !== 0
          reader.array(() => [reader.string(), reader.string(), reader.int8()])
          return [setting, isSensitive ? '' : value] as const
        })
        return { error, configs }
      })
      if (!found || notAuthorized.includes(found.error)) return undefined
      if (found.error !== 0) throw protocolError(found.error, `the settings of '${name}'`)
      return new Map(found.configs)
    }
  })
}

/** Bits of "authorized operations": kafka.apache.org/protocol, AclOperation. */
const operations = { read: 3, write: 4, describe: 8 } as const

/** What this client may not do with a topic; nothing where the broker is too old to tell. */
async function deniedOf(broker: VendorBroker, topic: string): Promise<TopicSettings['denied']> {
  if ((broker.versions?.[3]?.maxVersion ?? 0) < 8) return []
  const writer = new Writer()
  writer.array([topic], each => void writer.string(each))
  writer.int8(0).int8(0).int8(1) // create nothing; rights to the topic, not to the cluster
  return callBroker(broker, {
    apiKey: 3,
    apiVersion: 8,
    apiName: 'Metadata',
    body: writer.bytes,
    throttleFirst: true,
    decode: reader => {
      reader.array(() => [reader.int32(), reader.string(), reader.int32(), reader.string()])
      reader.string()
      reader.int32()
      const [found] = reader.array(() => {
        const error = reader.int16()
        reader.string()
        reader.int8()
        reader.array(() => {
          reader.int16()
          reader.int32()
          reader.int32()
          reader.int32() // leader epoch
          for (let list = 0; list < 3; list++) reader.array(() => reader.int32())
        })
        return { error, bits: reader.int32() }
      })
      if (!found || notAuthorized.includes(found.error)) return ['read', 'write', 'describe']
      if (found.error !== 0) throw protocolError(found.error, `describing topic '${topic}'`)
      const names = Object.keys(operations) as (keyof typeof operations)[]
      return names.filter(name => (found.bits & (1 << operations[name])) === 0)
    }
  })
}

export async function topicSettings(broker: VendorBroker, topic: string, copies: number): Promise<TopicSettings> {
  const denied = await deniedOf(broker, topic)
  const configs = denied.includes('describe') ? undefined : await describeConfigs(broker, topicResource, topic)
  if (!configs) return { denied: [...new Set([...denied, 'describe' as const])] }
  const policy = configs.get('cleanup.policy') ?? ''
  const limit = (name: string): Setting<number> => {
    const value = Number(configs.get(name))
    return { name, value: value < 0 || !policy.includes('delete') ? Infinity : value }
  }
  return {
    denied,
    compacted: { name: 'cleanup.policy', value: policy.includes('compact') },
    retention: limit('retention.ms'),
    retentionBytes: limit('retention.bytes'),
    losesOnFailover: {
      name: 'unclean.leader.election.enable',
      value: configs.get('unclean.leader.election.enable') === 'true'
    },
    copies: {
      name: 'min.insync.replicas',
      value: { all: copies, acknowledged: Number(configs.get('min.insync.replicas')) }
    }
  }
}

/** @param asked the transaction time-out of this client, ms */
export async function brokerSettings(broker: VendorBroker, asked: number): Promise<BrokerSettings> {
  // DescribeTransactions: without it the state of a transaction cannot be asked for.
  const tooOld = broker.versions?.[65] ? {} : { tooOld: 'transactions need Kafka 3.0 or later' }
  const configs = await describeConfigs(broker, brokerResource, String(broker.nodeId))
  if (!configs) return tooOld
  const setting = (name: string, factor = 1): Setting<number> => ({ name, value: Number(configs.get(name)) * factor })
  return {
    ...tooOld,
    transactionTimeout: { allowed: setting('transaction.max.timeout.ms'), asked },
    session: { least: setting('group.min.session.timeout.ms'), most: setting('group.max.session.timeout.ms') },
    groupRetention: setting('offsets.retention.minutes', 60_000)
  }
}
