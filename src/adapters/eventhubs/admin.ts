import { sleep, type Environment } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { Position } from '../../core/record.ts'
import type { AdminDriver, CreateTopic, PartitionBacklog, TopicDescription } from '../../spec/admin.ts'
import type { Checkpoints } from './checkpoints.ts'
import { closedError, unknownTopic } from './errors.ts'
import type { Hubs } from './hubs.ts'
import type { Management } from './management.ts'
import { sequenceOf } from './positions.ts'

export interface AdminContext {
  readonly hubs: Hubs
  readonly management: Management | undefined
  readonly checkpoints: Checkpoints | undefined
  readonly environment: Environment
  readonly host: string
  /** Created with each hub. */
  readonly consumerGroups: readonly string[]
  readonly requestTimeout: number
}

/** Settings of `createTopic`, all numbers. Source: REST API of Microsoft.EventHub, properties of an event hub. */
const settings = ['messageRetentionInDays']

export class EventhubsAdmin implements AdminDriver {
  readonly #context: AdminContext
  readonly #running = new Set<Promise<unknown>>()
  #closed = false

  constructor(context: AdminContext) {
    this.#context = context
  }

  createTopic({ topic, partitions, settings: given = {} }: CreateTopic): Promise<void> {
    return this.#run(async () => {
      const { hubs, consumerGroups, host } = this.#context
      const management = this.#management(
        `create the hub '${topic}' with ${partitions} partition${partitions === 1 ? '' : 's'}`
      )
      const properties = { partitionCount: partitions, ...readSettings(topic, given) }
      if (await management.hub(topic))
        throw new StreamError('topic-exists', `there is a hub '${topic}' on ${host} already`, { adapter: 'eventhubs' })
      await management.putHub(topic, properties)
      for (const group of consumerGroups)
        if (group.toLowerCase() !== '$default') await management.createGroup(topic, group)
      await this.#until(`hub '${topic}' was created, but cannot be used`, async () => {
        const found = await hubs.describe(topic)
        return found !== undefined
      })
    })
  }

  deleteTopic(topic: string): Promise<void> {
    return this.#run(async () => {
      const management = this.#management(`delete the hub '${topic}'`)
      if (!(await management.hub(topic))) throw unknownTopic(topic, this.#context.host)
      await management.deleteHub(topic)
      await this.#until(`hub '${topic}' was deleted, but is still there`, async () => !(await management.hub(topic)))
    })
  }

  describeTopic(topic: string): Promise<TopicDescription | undefined> {
    return this.#run(async () => {
      const found = await this.#context.hubs.describe(topic)
      return found && { topic, partitions: found.partitionIds.length }
    })
  }

  listTopics(): Promise<readonly string[]> {
    return this.#run(async () => {
      const hubs = await this.#management('list hubs').hubs()
      return hubs.map(({ name }) => name)
    })
  }

  backlog(): Promise<readonly PartitionBacklog[]> {
    return this.#run(async () => {
      throw noGroups()
    })
  }

  /** What consumers of Azure's own libraries have left, whatever the group. */
  committed(_group: string, topic: string): Promise<readonly (Position | undefined)[]> {
    return this.#run(async () => {
      const { checkpoints, hubs } = this.#context
      if (!checkpoints) throw noGroups()
      return checkpoints.positions(topic, await hubs.partitions(topic))
    })
  }

  behind(topic: string, positions: readonly (Position | undefined)[]): Promise<readonly PartitionBacklog[]> {
    return this.#run(async () => {
      const { hubs } = this.#context
      const count = await hubs.partitions(topic)
      const numbers = Array.from({ length: count }, (_, partition) => partition)
      return Promise.all(
        numbers.map(async (partition): Promise<PartitionBacklog> => {
          const { beginningSequenceNumber, lastEnqueuedSequenceNumber, isEmpty } = await hubs.describePartition(
            topic,
            partition
          )
          const position = positions[partition]
          const read = Math.max(beginningSequenceNumber - 1, position === undefined ? -1 : sequenceOf(position))
          return { topic, partition, records: isEmpty ? 0 : Math.max(0, lastEnqueuedSequenceNumber - read) }
        })
      )
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.allSettled(this.#running)
  }

  #management(what: string): Management {
    const { management, host } = this.#context
    if (management) return management
    throw new StreamError(
      'unsupported',
      `cannot ${what} on ${host}: Event Hubs does that in its management API only. Create it with the portal, the Azure CLI (az eventhubs eventhub create) or Bicep; or give the option 'management' (the resource id of the namespace) and a credential that may`,
      { adapter: 'eventhubs' }
    )
  }

  /** What the management API has done shows a moment later. */
  async #until(otherwise: string, done: () => Promise<boolean>): Promise<void> {
    const { environment, requestTimeout } = this.#context
    const started = environment.monotonic()
    for (let delay = 10; !(await done()); delay = Math.min(delay * 2, 1_000)) {
      if (this.#closed) throw closedError()
      if (environment.monotonic() - started > requestTimeout)
        throw new StreamError('timeout', `${otherwise}, after ${requestTimeout} ms`, {
          adapter: 'eventhubs',
          retryable: true
        })
      await sleep(environment, delay)
    }
  }

  #run<Result>(act: () => Promise<Result>): Promise<Result> {
    if (this.#closed) return Promise.reject(closedError())
    const running = act()
    this.#running.add(running)
    const forget = (): void => void this.#running.delete(running)
    running.then(forget, forget)
    return running
  }
}

function readSettings(topic: string, given: Readonly<Record<string, string>>): Record<string, number> {
  const read: Record<string, number> = {}
  for (const [name, text] of Object.entries(given)) {
    const value = Number(text)
    const problem = !settings.includes(name)
      ? `unknown setting '${name}'; known are ${settings.join(', ')}`
      : !(Number.isInteger(value) && value > 0) && `'${name}' must be a whole number above 0, got '${text}'`
    if (problem) throw new StreamError('bad-config', `settings of hub '${topic}': ${problem}`, { adapter: 'eventhubs' })
    read[name] = value
  }
  return read
}

function noGroups(): StreamError {
  return new StreamError(
    'unsupported',
    "Event Hubs keeps no positions: they are in the client's store, see `behind`; those of other consumers are read with the option 'checkpoints'",
    { adapter: 'eventhubs' }
  )
}
