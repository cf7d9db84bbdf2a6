import type { BrokerSettings, Setting, TopicSettings } from '../spec/index.ts'
import { bad, doubtful, type Finding } from './finding.ts'

const minute = 60_000
const day = 24 * 60 * minute

/** What a topic is to a pipeline. `state`: the changelog of its tasks. `vitals`: their reports. */
export type Role = 'data' | 'parked' | 'state' | 'vitals'

export interface TopicUse {
  /** `topic 'trades' on 'default'` */
  readonly where: string
  readonly role: Role
  readonly reads: boolean
  readonly writes: boolean
}

/** Shorter than any deployment takes. */
const tooShort = 10 * minute

/** What in the settings of a topic breaks a guarantee, and what to change. Pure. */
export function topicFindings(use: TopicUse, settings: TopicSettings): Finding[] {
  const { where, role } = use
  const { denied, compacted, losesOnFailover, copies, deadLetter, evictsBacklog, notes = [] } = settings
  const findings: Finding[] = []
  if (use.reads && denied.includes('read')) findings.push(bad(where, 'this client may not read it', 'grant it to read'))
  if (use.writes && denied.includes('write'))
    findings.push(bad(where, 'this client may not write to it', 'grant it to write'))
  if (denied.includes('describe'))
    findings.push(
      doubtful(
        where,
        'its settings cannot be checked: this client may not see them',
        'let it describe the topic and its settings, or check them by hand'
      )
    )
  if (role === 'data' || role === 'parked') {
    if (compacted?.value)
      findings.push(
        bad(
          where,
          `it is compacted (${compacted.name}): of the records of a key only the last is sure to be read`,
          `make it keep all records until they expire (on Kafka: ${compacted.name}=delete), or keep what is a table apart from what is processed`
        )
      )
    findings.push(...kept(where, settings))
  }
  if (role === 'state') {
    const { retention, retentionBytes } = settings
    for (const limit of [retention, retentionBytes])
      if (limit && limit.value !== Infinity)
        findings.push(
          bad(
            where,
            `it holds the state and the positions of tasks, and ${limit.name} deletes from it`,
            'keep the last record of each key for ever (on Kafka: cleanup.policy=compact)'
          )
        )
  }
  if (role !== 'data' && role !== 'parked' && compacted && !compacted.value && role === 'vitals')
    findings.push(
      doubtful(
        where,
        'it is not compacted: each start reads all of it',
        `compact it (on Kafka: ${compacted.name}=compact)`
      )
    )
  if (losesOnFailover?.value)
    findings.push(
      bad(
        where,
        `acknowledged records can be lost when a server fails (${losesOnFailover.name})`,
        losesOnFailover.name === 'synchronous' ? "set it to 'full'" : `set ${losesOnFailover.name} to false`
      )
    )
  if (copies && copies.value.all <= 1)
    findings.push(
      doubtful(where, 'there is one copy of it: it is lost with its disk', 'keep three copies (replication factor 3)')
    )
  else if (copies && copies.value.acknowledged <= 1)
    findings.push(
      doubtful(
        where,
        `a record counts as written with one copy (${copies.name}=1): it can be lost with that server`,
        `set ${copies.name} to 2`
      )
    )
  if (deadLetter)
    findings.push(
      bad(
        where,
        `the broker itself moves records away to '${deadLetter.value}' (${deadLetter.name}): order and counts are broken`,
        'remove the policy: tidemark parks what cannot be processed, in order and as part of the commit'
      )
    )
  if (evictsBacklog?.value)
    findings.push(
      bad(
        where,
        `the oldest records are dropped when a reader is too far behind (${evictsBacklog.name})`,
        'let the quota hold up producers in place of dropping (on Pulsar: producer_request_hold)'
      )
    )
  for (const note of notes) findings.push(doubtful(where, note, 'check that this is meant'))
  return findings
}

/** Is what is not read yet kept for as long as a reader may be away? */
function kept(where: string, { retention, expiry, retentionBytes }: TopicSettings): Finding[] {
  const findings: Finding[] = []
  for (const limit of [retention, expiry])
    if (limit && limit.value < day) {
      const what = `a record is gone ${shown(limit)} after it was written, read or not (${limit.name})`
      const fix = 'keep records for longer than a reader is ever away: days, not hours'
      findings.push(limit.value < tooShort ? bad(where, what, fix) : doubtful(where, what, fix))
    }
  if (retentionBytes && retentionBytes.value !== Infinity && (retention?.value ?? Infinity) > 0)
    findings.push(
      doubtful(
        where,
        `beyond ${retentionBytes.value.toLocaleString('en-US')} bytes the oldest records are deleted, read or not (${retentionBytes.name})`,
        'make it larger than what is written while a reader is away, or limit by time alone'
      )
    )
  return findings
}

export interface BrokerUse {
  /** `broker 'default'` */
  readonly where: string
  /** Commits are transactions of this broker. */
  readonly transactions: boolean
  /** Positions are kept by the groups of this broker, and nowhere else. */
  readonly groups: boolean
  /** Of the run, ms. */
  readonly sessionTimeout: number
}

/** The same of a broker. */
export function brokerFindings(use: BrokerUse, settings: BrokerSettings): Finding[] {
  const { where } = use
  const { tooOld, transactionTimeout, session, groupRetention } = settings
  const findings: Finding[] = []
  if (tooOld && use.transactions)
    findings.push(bad(where, `the server is too old: ${tooOld}`, 'upgrade it, or commit to a store'))
  if (use.transactions && transactionTimeout) {
    const { allowed, asked } = transactionTimeout
    if (asked > allowed.value)
      findings.push(
        bad(
          where,
          `transactions of ${shown({ value: asked })} are asked for, and ${shown(allowed)} is the most that is allowed (${allowed.name})`,
          `set transactionTimeout of the broker to ${allowed.value} or less, or raise ${allowed.name}`
        )
      )
  }
  if (session && (use.sessionTimeout < session.least.value || use.sessionTimeout > session.most.value))
    findings.push(
      bad(
        where,
        `sessionTimeout is ${use.sessionTimeout} ms, and the broker allows ${session.least.value} to ${session.most.value} (${session.least.name}, ${session.most.name})`,
        'set sessionTimeout of the run into that range'
      )
    )
  if (groupRetention && use.groups && groupRetention.value < 7 * day)
    findings.push(
      doubtful(
        where,
        `the positions of a group are forgotten ${shown(groupRetention)} after its last member has left (${groupRetention.name}): it then starts at the beginning`,
        `raise ${groupRetention.name} to more than a group is ever away, or run exactly-once, which keeps its own positions`
      )
    )
  return findings
}

function shown({ value }: Pick<Setting<number>, 'value'>): string {
  if (value === 0) return 'at once'
  if (value < 2 * minute) return `${value / 1_000} s`
  if (value < 2 * 60 * minute) return `${Math.round(value / minute)} minutes`
  return value < 2 * day ? `${Math.round(value / 60 / minute)} hours` : `${Math.round(value / day)} days`
}
