import type { Position } from '../../core/record.ts'
import type { TopicPartition } from '../../spec/index.ts'
import { assign } from '../../core/assignment.ts'
import type { MemoryBroker } from './broker.ts'
import { memoryError } from './errors.ts'
import type { Member } from './member.ts'
import type { PartitionLog } from './partition-log.ts'

/** The members that read one list of topics. A unit is partition i of all of them: it never comes apart. */
interface Subscription {
  readonly topics: readonly string[]
  readonly units: readonly (readonly PartitionLog[])[]
  members: Member[]
  /** Who holds a unit, until it is handed over. */
  readonly owners: (Member | undefined)[]
  /** Who should. */
  targets: (Member | undefined)[]
  readonly revoking: Set<number>
}

/** A consumer group: who reads what, and how far they have come. */
export class Group {
  readonly name: string
  readonly #broker: MemoryBroker
  readonly #subscriptions = new Map<string, Subscription>()
  readonly #committed = new Map<string, (Position | undefined)[]>()
  /** All that are open, also those that were put out. */
  readonly #members = new Set<Member>()

  constructor(name: string, broker: MemoryBroker) {
    this.name = name
    this.#broker = broker
  }

  committed({ topic, partition }: TopicPartition): Position | undefined {
    return this.#committed.get(topic)?.[partition]
  }

  store(positions: readonly (TopicPartition & { readonly position: Position })[]): void {
    for (const { topic, partition, position } of positions) {
      let row = this.#committed.get(topic)
      if (!row) {
        row = new Array<Position | undefined>(this.#broker.topic(topic).partitions.length).fill(undefined)
        this.#committed.set(topic, row)
      }
      row[partition] = position
    }
  }

  /** Throws `unknown-topic`, and `bad-config` when the topics overlap with another member's but are not the same. */
  join(member: Member): void {
    const subscription = this.#subscribe(member.topics)
    this.#members.add(member)
    member.active = true
    subscription.members.push(member)
    if (this.#broker.faults.isSilent(member.client)) this.#startSessionEnd(member)
    this.#rebalance(subscription)
  }

  /** Gone for good, its partitions free at once. */
  leave(member: Member): void {
    this.#members.delete(member)
    this.#remove(member, () => member.forgetAll())
  }

  kick(client: string | undefined): number {
    const members = [...this.#members].filter(
      member => member.active && (client === undefined || member.client === client)
    )
    for (const member of members) this.#expel(member)
    return members.length
  }

  heartbeats(client: string, beating: boolean): void {
    for (const member of this.#members) {
      if (member.client !== client) continue
      if (!beating) {
        if (member.active) this.#startSessionEnd(member)
        continue
      }
      member.sessionEnd?.cancel()
      member.sessionEnd = undefined
      member.waiter.wake()
    }
  }

  /** The topic is gone: whoever read it must join anew, which fails for as long as there is none. */
  forget(topic: string): void {
    this.#committed.delete(topic)
    for (const subscription of this.#subscriptions.values()) {
      if (subscription.topics.includes(topic)) for (const member of [...subscription.members]) this.#expel(member)
    }
  }

  #startSessionEnd(member: Member): void {
    member.sessionEnd ??= member.environment.timer(member.sessionTimeout, () => this.#expel(member), true)
  }

  #expel(member: Member): void {
    this.#remove(member, () => member.expel())
  }

  #subscribe(topics: readonly string[]): Subscription {
    const key = JSON.stringify(topics.toSorted())
    const known = this.#subscriptions.get(key)
    if (known) return known
    for (const other of this.#subscriptions.values()) {
      if (!other.topics.some(topic => topics.includes(topic))) continue
      const lists = `[${other.topics.join(', ')}] and [${topics.join(', ')}]`
      throw memoryError(
        'bad-config',
        `members of group '${this.name}' read ${lists}: partitions of one index could not stay together`
      )
    }
    const found = topics.map(topic => this.#broker.topic(topic).partitions)
    const count = Math.max(...found.map(partitions => partitions.length))
    const units = Array.from({ length: count }, (_, unit) => found.flatMap(partitions => partitions[unit] ?? []))
    const subscription: Subscription = {
      topics,
      units,
      members: [],
      owners: units.map(() => undefined),
      targets: [],
      revoking: new Set()
    }
    this.#subscriptions.set(key, subscription)
    return subscription
  }

  #remove(member: Member, cleanUp: () => void): void {
    for (const [key, subscription] of this.#subscriptions) {
      if (!subscription.members.includes(member)) continue
      cleanUp()
      subscription.members = subscription.members.filter(other => other !== member)
      subscription.owners.forEach((owner, unit) => {
        if (owner !== member) return
        subscription.owners[unit] = undefined
        subscription.revoking.delete(unit)
      })
      if (subscription.members.length === 0) this.#subscriptions.delete(key)
      else this.#rebalance(subscription)
      return
    }
    cleanUp()
  }

  /** Cooperative: only what changes hands stops, and nobody gets a unit before its owner has let go of it. */
  #rebalance(subscription: Subscription): void {
    const { units, owners, revoking, members } = subscription
    subscription.targets = assign(units.length, members, subscription.targets)
    const leaving = new Map<Member, number[]>()
    owners.forEach((owner, unit) => {
      if (owner === undefined || owner === subscription.targets[unit] || revoking.has(unit)) return
      if (owner.withdraw(units[unit]!)) owners[unit] = undefined
      else leaving.set(owner, [...(leaving.get(owner) ?? []), unit])
    })
    for (const [owner, lost] of leaving) {
      for (const unit of lost) revoking.add(unit)
      const logs = lost.flatMap(unit => units[unit]!)
      owner.revoke(logs, () => this.#handOver(subscription, owner, lost))
    }
    this.#grantFree(subscription)
  }

  #handOver(subscription: Subscription, owner: Member, lost: readonly number[]): void {
    owner.drop(lost.flatMap(unit => subscription.units[unit]!))
    for (const unit of lost) {
      subscription.owners[unit] = undefined
      subscription.revoking.delete(unit)
    }
    this.#grantFree(subscription)
  }

  #grantFree({ units, owners, targets }: Subscription): void {
    units.forEach((logs, unit) => {
      if (owners[unit] !== undefined) return
      owners[unit] = targets[unit]
      targets[unit]?.grant(logs)
    })
  }
}
