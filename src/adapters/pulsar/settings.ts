import type { BrokerSettings, Setting, TopicSettings } from '../../spec/admin.ts'
import { PulsarError } from './errors.ts'
import type { Retention, Topics } from './topics.ts'

const minute = 60_000

interface Quota {
  readonly policy?: string
}

/** What applies to a topic, whether it is set for itself, for its namespace or for the broker. */
export async function topicSettings(topics: Topics, topic: string): Promise<TopicSettings> {
  const ask = async <Answer>(what: string, path: string): Promise<Answer | undefined> => {
    try {
      const address = `${topics.pathOf(topic)}/${path}?applied=true`
      return (await topics.rest.get<Answer | undefined>(`${what} of '${topic}'`, address)) ?? undefined
    } catch (error) {
      // 405: policies of topics are switched off. 412: of this one there are none.
      if (error instanceof PulsarError && [405, 412].includes(error.status ?? 0)) return undefined
      throw error
    }
  }
  try {
    const retention = await ask<Retention>('the retention', 'retention')
    const compaction = await ask<number>('the compaction', 'compactionThreshold')
    const quotas = await ask<Readonly<Record<string, Quota>>>('the backlog quota', 'backlogQuotaMap')
    const expiry = await ask<number>('the TTL', 'messageTTL')
    const evicts = Object.values(quotas ?? {}).some(({ policy }) => policy === 'consumer_backlog_eviction')
    const ttl = expiry
      ? [
          `messageTTL drops what a durable subscription of another reader has not taken within ${expiry} s; tidemark's own readers depend on the retention alone`
        ]
      : []
    return {
      denied: [],
      // A reader without a subscription sees the whole log, compacted or not, for as long as it is retained.
      compacted: { name: 'compactionThreshold', value: false },
      retention: limit('retentionTimeInMinutes', retention?.retentionTimeInMinutes ?? 0, minute, retention),
      retentionBytes: limit('retentionSizeInMB', retention?.retentionSizeInMB ?? 0, 1024 * 1024, retention),
      evictsBacklog: { name: 'backlogQuota policy consumer_backlog_eviction', value: evicts },
      notes: [...(compaction ? ['compaction is on; it takes nothing from readers of the whole log'] : []), ...ttl]
    }
  } catch (error) {
    if (error instanceof PulsarError && (error.status === 401 || error.status === 403)) return { denied: ['describe'] }
    throw error
  }
}

/** -1 is for ever; one of both being 0 switches retention off. */
function limit(name: string, value: number, factor: number, retention: Retention | undefined): Setting<number> {
  const isOff = !retention || retention.retentionTimeInMinutes === 0 || retention.retentionSizeInMB === 0
  return { name, value: isOff ? 0 : value < 0 ? Infinity : value * factor }
}

export async function brokerSettings(topics: Topics): Promise<BrokerSettings> {
  try {
    const version = await topics.rest.text('the version of the broker', 'brokers/version')
    return { version: `Apache Pulsar ${version.trim()}` }
  } catch (error) {
    // A proxy or a hosted service may not tell.
    if (error instanceof PulsarError) return {}
    throw error
  }
}
