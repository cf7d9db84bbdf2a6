import { StreamError } from '../../core/errors.ts'
import { murmur2 } from '../../core/partitioner.ts'
import type { PartitionReaderOptions } from '../../spec/log-reader.ts'
import { classify, vendorCode } from './errors.ts'
import type { Management } from './management.ts'

/** By which consumer group a reader reads, and under which owner level. */
export interface GroupChoice {
  readonly group: string
  readonly ownerLevel: number | undefined
  /** After a failure: resolves with nothing when there is another way to try, else with the error to report. */
  next(error: unknown): Promise<unknown>
}

const longestName = 50

/**
 * Letters, digits, `.`, `-` and `_`, at most 50, a letter or digit first and last: what Event Hubs takes as the name of a
 * consumer group. Source: https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
 */
export function consumerGroupName(group: string): string {
  if (/^[a-z\d](?:[\w.-]{0,48}[a-z\d])?$/i.test(group)) return group
  const hash = (murmur2(Buffer.from(group)) >>> 0).toString(36)
  const readable = group.replace(/[^\w.-]/g, '_').replace(/^[^a-z\d]+/i, '')
  return readable === '' ? hash : `${readable.slice(0, longestName - hash.length - 1)}-${hash}`
}

export interface ConsumerGroupsOptions {
  readonly consumerGroups: readonly string[]
  readonly ownerLevels: boolean
  readonly management: Management | undefined
}

/** Which consumer group is whose. */
export class ConsumerGroups {
  readonly #options: ConsumerGroupsOptions

  constructor(options: ConsumerGroupsOptions) {
    this.#options = options
  }

  choose({ topic, owner }: PartitionReaderOptions): GroupChoice {
    const { consumerGroups, ownerLevels, management } = this.#options
    return owner && ownerLevels
      ? new Owned(topic, consumerGroupName(owner.group), owner.epoch, management)
      : new Shared(topic, consumerGroups)
  }
}

/** Five readers of a partition fit into one consumer group: then the next one is tried. */
class Shared implements GroupChoice {
  readonly ownerLevel = undefined
  readonly #hub: string
  readonly #groups: readonly string[]
  #index = 0
  /** Found full in a row. */
  #full = 0

  constructor(hub: string, groups: readonly string[]) {
    this.#hub = hub
    this.#groups = groups
  }

  get group(): string {
    return this.#groups[this.#index]!
  }

  async next(error: unknown): Promise<unknown> {
    if (vendorCode(error) !== 'QuotaExceededError') {
      this.#full = 0
      return classify(error).code === 'unknown-topic' ? missing(this.#hub, this.group, error) : error
    }
    this.#index = (this.#index + 1) % this.#groups.length
    if (++this.#full < this.#groups.length) return undefined
    this.#full = 0
    return new StreamError(
      'throttled',
      `hub '${this.#hub}': a consumer group takes five readers of a partition, and ${this.#groups.join(', ')} ${this.#groups.length > 1 ? 'are' : 'is'} full: create another one and name it in the option 'consumerGroups'`,
      { adapter: 'eventhubs', retryable: true, cause: error }
    )
  }
}

/** Its own consumer group, and the epoch of the lease: a newer owner disconnects an older one. */
class Owned implements GroupChoice {
  readonly group: string
  readonly ownerLevel: number
  readonly #hub: string
  readonly #management: Management | undefined
  #created = false

  constructor(hub: string, group: string, ownerLevel: number, management: Management | undefined) {
    this.#hub = hub
    this.group = group
    this.ownerLevel = ownerLevel
    this.#management = management
  }

  async next(error: unknown): Promise<unknown> {
    if (classify(error).code !== 'unknown-topic') return error
    if (!this.#management || this.#created) return missing(this.#hub, this.group, error)
    this.#created = true
    await this.#management.createGroup(this.#hub, this.group)
    return undefined
  }
}

/** The hub was described a moment ago. */
function missing(hub: string, group: string, cause: unknown): StreamError {
  return new StreamError(
    'unknown-topic',
    `hub '${hub}' or its consumer group '${group}' is not there: create it, or set 'ownerLevels' to false to read by the groups of 'consumerGroups'`,
    { adapter: 'eventhubs', cause }
  )
}
