import { describe, expect, it } from 'vitest'
import { masker } from '../../src/doctor/mask.ts'
import { brokerFindings, topicFindings, type Role } from '../../src/doctor/rules.ts'
import { unknownVariables } from '../../src/doctor/variables.ts'
import type { BrokerSettings, TopicSettings } from '../../src/spec/index.ts'

const hour = 3_600_000
const sound: TopicSettings = {
  denied: [],
  compacted: { name: 'cleanup.policy', value: false },
  retention: { name: 'retention.ms', value: 168 * hour },
  retentionBytes: { name: 'retention.bytes', value: Infinity },
  losesOnFailover: { name: 'unclean.leader.election.enable', value: false },
  copies: { name: 'min.insync.replicas', value: { all: 3, acknowledged: 2 } }
}

const look = (change: Partial<TopicSettings>, role: Role = 'data', use: object = {}): string[] =>
  topicFindings({ where: 't', role, reads: true, writes: true, ...use }, { ...sound, ...change }).map(
    ({ severity, what }) => `${severity}: ${what}`
  )

describe('the settings of a topic', () => {
  it('that are sound are nothing to speak of', () => {
    expect(look({})).toEqual([])
    expect(look({ denied: [], retention: { name: 'retention.ms', value: Infinity } })).toEqual([])
  })

  it.each<[string, Partial<TopicSettings>, string]>([
    ['compaction', { compacted: { name: 'cleanup.policy', value: true } }, 'error: it is compacted (cleanup.policy)'],
    [
      'no retention at all',
      { retention: { name: 'retentionTimeInMinutes', value: 0 } },
      'error: a record is gone at once after it was written, read or not (retentionTimeInMinutes)'
    ],
    [
      'a retention of minutes',
      { retention: { name: 'retention.ms', value: 300_000 } },
      'error: a record is gone 5 minutes'
    ],
    [
      'a retention of hours',
      { retention: { name: 'retention.ms', value: 5 * hour } },
      'warning: a record is gone 5 hours'
    ],
    ['an expiry', { expiry: { name: 'messageRetentionDuration', value: 60_000 } }, 'error: a record is gone 60 s'],
    [
      'a limit in bytes',
      { retentionBytes: { name: 'retention.bytes', value: 1e6 } },
      'warning: beyond 1,000,000 bytes'
    ],
    [
      'dead letters of the broker',
      { deadLetter: { name: 'deadLetterPolicy', value: 'dead' } },
      "error: the broker itself moves records away to 'dead'"
    ],
    ['eviction', { evictsBacklog: { name: 'backlogQuota', value: true } }, 'error: the oldest records are dropped'],
    [
      'an unclean election',
      { losesOnFailover: { name: 'unclean.leader.election.enable', value: true } },
      'error: acknowledged records can be lost'
    ],
    ['one copy', { copies: { name: 'm', value: { all: 1, acknowledged: 1 } } }, 'warning: there is one copy of it'],
    [
      'one acknowledged copy',
      { copies: { name: 'min.insync.replicas', value: { all: 3, acknowledged: 1 } } },
      'warning: a record counts as written with one copy (min.insync.replicas=1)'
    ],
    ['no right to read', { denied: ['read'] }, 'error: this client may not read it'],
    ['no right to write', { denied: ['write'] }, 'error: this client may not write to it'],
    ['no right to look', { denied: ['describe'] }, 'warning: its settings cannot be checked']
  ])('%s is found', (_, change, expected) => {
    const found = look(change)
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(expected)
  })

  it('rights that are not needed are not asked for', () => {
    expect(look({ denied: ['read'] }, 'data', { reads: false })).toEqual([])
    expect(look({ denied: ['write'] }, 'data', { writes: false })).toEqual([])
  })

  it('of a changelog must keep the last record of each key for ever', () => {
    const compacted = { name: 'cleanup.policy', value: true }
    const forEver = { name: 'retention.ms', value: Infinity }
    expect(look({ compacted, retention: forEver }, 'state')).toEqual([])
    expect(look({ compacted }, 'state')).toEqual([
      'error: it holds the state and the positions of tasks, and retention.ms deletes from it'
    ])
  })
})

describe('the settings of a broker', () => {
  const ok: BrokerSettings = {
    transactionTimeout: { allowed: { name: 'transaction.max.timeout.ms', value: 900_000 }, asked: 60_000 },
    session: {
      least: { name: 'group.min.session.timeout.ms', value: 6_000 },
      most: { name: 'group.max.session.timeout.ms', value: 1_800_000 }
    },
    groupRetention: { name: 'offsets.retention.minutes', value: 7 * 24 * hour }
  }
  const use = { where: 'b', transactions: true, groups: true, sessionTimeout: 10_000 }
  const found = (settings: BrokerSettings, change: Partial<typeof use> = {}): string[] =>
    brokerFindings({ ...use, ...change }, settings).map(({ severity, what }) => `${severity}: ${what}`)

  it('that are sound are nothing to speak of', () => {
    expect(found(ok)).toEqual([])
    expect(found({})).toEqual([])
  })

  it('are found when transactions are too long for it, and only where there are any', () => {
    const tight = {
      ...ok,
      transactionTimeout: { allowed: { name: 'transaction.max.timeout.ms', value: 30_000 }, asked: 60_000 }
    }
    expect(found(tight)).toEqual([
      'error: transactions of 60 s are asked for, and 30 s is the most that is allowed (transaction.max.timeout.ms)'
    ])
    expect(found(tight, { transactions: false })).toEqual([])
  })

  it('are found when sessions do not fit, when groups are forgotten, and when it is too old', () => {
    expect(found(ok, { sessionTimeout: 2_000 })[0]).toContain(
      'error: sessionTimeout is 2000 ms, and the broker allows 6000'
    )
    expect(found({ ...ok, groupRetention: { name: 'offsets.retention.minutes', value: hour } })[0]).toContain(
      'warning: the positions of a group are forgotten 60 minutes after'
    )
    expect(found({ tooOld: 'transactions need Kafka 3.0 or later' })).toEqual([
      'error: the server is too old: transactions need Kafka 3.0 or later'
    ])
  })
})

describe('what is said of a configuration', () => {
  it('holds none of its secrets, whoever says them', () => {
    const mask = masker({
      default: 'kafka://user:p@ss/w0rd?x@host:9092',
      cloud: {
        adapter: 'kafka',
        sasl: { username: 'ann', password: 'hunter2hunter2' },
        ssl: { key: 'PEM-KEY', ca: 'PEM-CA' }
      },
      hubs: { connectionString: 'Endpoint=sb://h/;SharedAccessKeyName=all;SharedAccessKey=c2VjcmV0' },
      store: 'postgres://user:top%20secret@host/db?sslpassword=deeper',
      TIDEMARK_BROKERS__DEFAULT__TOKEN: 'jwt.jwt.jwt'
    })
    const said = mask(
      'p@ss/w0rd?x hunter2hunter2 PEM-KEY c2VjcmV0 top%20secret top secret deeper jwt.jwt.jwt PEM-CA ann host:9092'
    )
    expect(said).toBe('… … … … … … … … PEM-CA ann host:9092')
  })

  it('says which variables have no effect, and not what they hold', () => {
    const findings = unknownVariables(
      {
        TIDEMARK_RUN__COMIT_INTERVAL: 'hunter2',
        TIDEMARK_RUN__COMMIT_INTERVAL: '5',
        TIDEMARK_BROKERS__DEFUALT__CLIENT_ID: 'hunter2',
        TIDEMARK_BROKERS__DEFAULT__CLIENT_ID: 'x',
        TIDEMARK_BROKERS__DEFAULT: 'x',
        TIDEMARK_SEED: '1',
        PATH: '/bin'
      },
      ['default']
    )
    expect(findings.map(({ where }) => where)).toEqual([
      'variable TIDEMARK_RUN__COMIT_INTERVAL',
      'variable TIDEMARK_BROKERS__DEFUALT__CLIENT_ID'
    ])
    expect(findings[0]!.fix).toContain("did you mean 'TIDEMARK_RUN__COMMIT_INTERVAL'?")
    expect(JSON.stringify(findings)).not.toContain('hunter2')
  })
})
