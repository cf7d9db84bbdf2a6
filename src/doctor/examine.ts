import { parkedTopic } from '../broker/index.ts'
import type { ClientParts } from '../client.ts'
import { readConfiguration, type ConnectOptions } from '../connect.ts'
import { deadlineIn } from '../core/environment.ts'
import { messageOf, StreamError, type ErrorCode } from '../core/errors.ts'
import type { AnyTopic } from '../core/topic.ts'
import { changelogTopic } from '../exactly-once/index.ts'
import {
  groupName,
  openStore,
  relayedTopic,
  runSettings,
  vitalsTopic,
  type Pipeline,
  type RunOptions
} from '../pipeline/index.ts'
import type { AdminDriver, AnyAdapter } from '../spec/index.ts'
import { bad, doubtful, ok, type Finding } from './finding.ts'
import { masker } from './mask.ts'
import { brokerFindings, topicFindings, type TopicUse } from './rules.ts'
import { unknownVariables } from './variables.ts'

/** What a service runs with: the options of `connect`, and what it runs. */
export interface DoctorConfig extends ConnectOptions {
  readonly pipelines?: readonly Pipeline[]
  /** Options that the pipelines are run with. */
  readonly run?: RunOptions
  /** More topics to look at, by name, as data that is read and written. */
  readonly check?: readonly string[]
}

/** How long one question may take, ms. */
const patience = 20_000

interface Wanted extends Omit<TopicUse, 'where'> {
  readonly name: string
  /** Where it is defined. */
  readonly topic?: AnyTopic
  /** Brokers that carry it, where its name alone does not say. */
  readonly on?: readonly string[]
  readonly groups: readonly string[]
}

/**
 * Looks at everything that a configuration leads to, and changes nothing but that the store makes its tables: the options, each
 * broker, the rights of this client, the settings of topics that break a guarantee, the store. Never rejects, and never says
 * a secret of the configuration.
 *
 * @example
 * for (const { severity, where, what, fix } of await examine({ brokers, pipelines: [app] })) console.log(severity, where, what, fix)
 */
export async function examine(config: DoctorConfig): Promise<readonly Finding[]> {
  const { pipelines = [], run, check = [], ...options } = config
  const variables = options.variables ?? process.env
  const tidemark = Object.fromEntries(Object.entries(variables).filter(([name]) => name.startsWith('TIDEMARK_')))
  const mask = masker(options.brokers, options.store, tidemark)
  const findings = await look(options, pipelines, run, check).catch(error => [...problemsOf('configuration', error)])
  findings.push(...unknownVariables(variables, Object.keys(options.brokers ?? {})))
  return findings.map(({ severity, where, what, fix }) => ({
    severity,
    where,
    what: mask(what),
    ...(fix !== undefined && { fix: mask(fix) })
  }))
}

async function look(
  options: ConnectOptions,
  pipelines: readonly Pipeline[],
  run: RunOptions | undefined,
  check: readonly string[]
): Promise<Finding[]> {
  const parts = await readConfiguration(options)
  const settings = runSettings(run ?? {}, parts.variables)
  const findings: Finding[] = [ok('configuration', 'every option is known and fits')]
  try {
    for (const [name, adapter] of parts.brokers) {
      const where = `broker '${name}'`
      const use = {
        where,
        // In a store, too: then outputs are relayed in them.
        transactions: settings.guarantee === 'exactly-once' && adapter.capabilities.transactions,
        groups: settings.guarantee === 'at-least-once' && adapter.capabilities.groups,
        sessionTimeout: settings.sessionTimeout
      }
      const reached = await asked(parts, where, findings, async () => {
        await adapter.open(parts.environment)
        await withAdmin(adapter, async admin => {
          await admin.listTopics()
          const found = (await admin.brokerSettings?.()) ?? {}
          findings.push(ok(where, `${adapter.location} answers${found.version ? `: ${found.version}` : ''}`))
          findings.push(...brokerFindings(use, found))
        })
      })
      if (!reached) continue
      const here = wantedOf(pipelines, check, parts).filter(({ name: topic, on }) =>
        topic === vitalsTopic ? isForVitals(parts, name) : (on ?? [parts.topics(topic)]).includes(name)
      )
      for (const wanted of here)
        await asked(parts, `topic '${wanted.name}' on '${name}'`, findings, () =>
          withAdmin(adapter, admin => lookAtTopic(admin, wanted, `topic '${wanted.name}' on '${name}'`, findings))
        )
    }
    if (parts.store !== 'broker') await lookAtStore(parts, findings)
  } finally {
    for (const adapter of parts.brokers.values()) await adapter.close().catch(() => {})
  }
  return findings
}

/** Vitals go where they are named to go, else to each broker. */
function isForVitals({ vitals }: ClientParts, broker: string): boolean {
  return vitals === undefined || vitals === broker
}

function wantedOf(pipelines: readonly Pipeline[], check: readonly string[], parts: ClientParts): Wanted[] {
  const wanted = new Map<string, Wanted>()
  const want = (name: string, more: Partial<Wanted>): void => {
    const before = wanted.get(name)
    const topic = more.topic ?? before?.topic
    wanted.set(name, {
      name,
      role: more.role ?? before?.role ?? 'data',
      reads: more.reads === true || before?.reads === true,
      writes: more.writes === true || before?.writes === true,
      groups: [...(before?.groups ?? []), ...(more.groups ?? [])],
      ...(topic && { topic }),
      ...(more.on && { on: more.on })
    })
  }
  for (const { name, stages } of pipelines)
    for (const stage of stages) {
      for (const topic of stage.from) {
        want(topic.name, { topic, reads: true, groups: [groupName(name, stage.name)] })
        want(parkedTopic(topic.name), { role: 'parked', writes: true })
      }
      for (const topic of stage.to) want(topic.name, { topic, writes: true })
      const on = [...stage.from, ...stage.to].map(topic => parts.topics(topic.name))
      want(relayedTopic(name, stage.name), { role: 'state', on, reads: true, writes: true })
      const onBroker = [...stage.from, ...stage.to].some(topic => parts.topics(topic.name) === 'default')
      if (onBroker) want(changelogTopic(name, stage.name), { role: 'state', reads: true, writes: true })
    }
  for (const name of check) want(name, { reads: true, writes: true })
  if (wanted.size > 0) want(vitalsTopic, { role: 'vitals', reads: true, writes: true })
  return [...wanted.values()]
}

async function lookAtTopic(admin: AdminDriver, wanted: Wanted, where: string, findings: Finding[]): Promise<void> {
  const { name, role, topic } = wanted
  const found = await admin.describeTopic(name)
  if (!found) {
    // What is not there yet is made by the run, as it should be.
    if (role !== 'data') return
    if (topic?.partitions !== undefined)
      findings.push(ok(where, `is not there; run makes it with ${topic.partitions} partitions`))
    else findings.push(bad(where, 'is not there', 'create it, or give its definition `partitions` to have it created'))
    return
  }
  if (role === 'data' && found.partitions === undefined)
    findings.push(bad(where, 'carries no partition count', found.advice ?? 'create it with client.admin.create'))
  if (topic?.partitions !== undefined && found.partitions !== undefined && found.partitions !== topic.partitions)
    findings.push(
      bad(where, `has ${found.partitions} partitions, its definition says ${topic.partitions}`, 'make them agree')
    )
  const settings = await admin.topicSettings?.(name, wanted.groups)
  if (!settings) {
    findings.push(ok(where, 'is there; this backend does not tell its settings'))
    return
  }
  const wrong = topicFindings({ ...wanted, where }, settings)
  if (wrong.length === 0) findings.push(ok(where, 'is set up as it has to be'))
  findings.push(...wrong)
}

async function lookAtStore(parts: ClientParts, findings: Finding[]): Promise<void> {
  await asked(parts, 'store', findings, async () => {
    const store = await openStore(parts.store, parts.brokers, parts.environment)
    try {
      await store.positions('tidemark.doctor', 'tidemark.doctor')
      findings.push(ok('store', `${store.location} answers, and its tables are of this version`))
    } finally {
      if (store !== parts.store) await store.close()
    }
  })
}

async function withAdmin(adapter: AnyAdapter, call: (admin: AdminDriver) => Promise<void>): Promise<void> {
  const admin = adapter.admin()
  try {
    await call(admin)
  } catch (error) {
    if (StreamError.is(error)) throw error
    const { code, retryable } = adapter.classify(error)
    throw new StreamError(code, messageOf(error), { retryable, adapter: adapter.name, cause: error })
  } finally {
    await admin.close().catch(() => {})
  }
}

/** What goes wrong is a finding. @returns did it answer? */
async function asked(
  { environment }: ClientParts,
  where: string,
  findings: Finding[],
  call: () => Promise<void>
): Promise<boolean> {
  const deadline = deadlineIn(environment, patience)
  try {
    const late = deadline.reached.then(() => {
      throw new StreamError('timeout', `no answer within ${patience / 1_000} s`)
    })
    late.catch(() => {})
    await Promise.race([call(), late])
    return true
  } catch (error) {
    findings.push(...problemsOf(where, error))
    return false
  } finally {
    deadline.cancel()
  }
}

const fixes: Partial<Record<ErrorCode, string>> = {
  connection:
    'check that it is up, that the address and the port are right, and that TLS is on at both ends or at none',
  timeout: 'check the address, firewalls and security groups; a wrong port of a running host looks like this',
  unauthorized: 'check the credentials and what they are allowed to do',
  'peer-missing': 'install the package that is named',
  'unknown-topic': 'create it',
  'bad-config': 'correct it'
}

function problemsOf(where: string, error: unknown): Finding[] {
  const code = StreamError.is(error) ? error.code : 'internal'
  const sentences = (StreamError.is(error) && error.problems) || [messageOf(error)]
  const fix = fixes[code] ?? 'see the message'
  return sentences.map(sentence =>
    code === 'unsupported' ? doubtful(where, sentence, 'check it by hand') : bad(where, `${sentence} (${code})`, fix)
  )
}
