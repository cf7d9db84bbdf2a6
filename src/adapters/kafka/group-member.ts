import { type Environment, sleep } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { TopicPartition } from '../../spec/log-reader.ts'
import {
  assign,
  assignerName,
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription
} from './assigner.ts'
import type { VendorBroker } from './client.ts'
import type { Connection } from './connection.ts'
import { classify, explain, protocolCode } from './errors.ts'
import { within } from './within.ts'

export interface GroupMemberContext {
  /** Sockets of its own: while a member waits for the others to join, nothing else gets through on them. */
  readonly connection: Connection
  readonly environment: Environment
  readonly group: string
  readonly topics: readonly string[]
  /** Ms without a heartbeat after which the group takes the partitions. */
  readonly sessionTimeout: number
  /** Ms that the group waits for members to join again. */
  readonly rebalanceTimeout: number
  readonly heartbeatInterval: number
  /** To go on as; empty: a new member. */
  readonly memberId: string
  /** What the reader holds right now. */
  readonly held: () => readonly TopicPartition[]
  /** The member is in a new generation, with these partitions. */
  readonly onAssigned: (partitions: readonly TopicPartition[]) => void
  /** Everything held is lost: the group has gone on without this member. */
  readonly onLost: () => void
  /** The group could not be reached for the length of a session; it is tried on. */
  readonly onPassing: (error: unknown) => void
  /** The member has ended, for this reason. */
  readonly onFailed: (error: unknown) => void
}

/** Who the group takes this member for; changes with every generation. */
export interface Membership {
  readonly memberId: string
  readonly generation: number
}

/** Ms between two looks at the number of partitions. */
const growthInterval = 10_000
const recently = 3_000

const illegalGeneration = 22
const unknownMember = 25
const rebalancing = 27
/** The coordinator is starting, has moved, or cannot be reached: the membership is as it was. */
const passing: readonly number[] = [14, 15, 16]

/**
 * Membership in a consumer group, by the requests of the protocol: join, sync, heartbeat. kafkajs's own consumer cannot keep
 * partitions over a rebalance, gives no time to finish what is in work, commits an offset of its own choice when one is out
 * of range, and starts itself anew after a failure.
 */
export class GroupMember {
  readonly #context: GroupMemberContext
  #membership: Membership
  /** The subscription that was sent is not true any more. */
  #changed = true
  #stable = false
  #waiting: (() => void)[] = []
  #failingSince: number | undefined
  #joined = -Infinity
  /** As the leader: what was shared out, to see whether topics have grown. */
  #counts = new Map<string, number>()
  #counted = 0
  #stopping = new AbortController()
  #running: Promise<void> = Promise.resolve()

  constructor(context: GroupMemberContext) {
    this.#context = context
    this.#membership = { memberId: context.memberId, generation: -1 }
  }

  get membership(): Membership {
    return this.#membership
  }

  /** False between a call to join and the new generation: commits are refused then. */
  get stable(): boolean {
    return this.#stable
  }

  start(): void {
    this.#running = this.#run()
  }

  /** What the member holds has changed: tell the group, so that others can have it. */
  rejoin(): void {
    this.#changed = true
    this.#wake()
  }

  /** Resolves when the member is in a generation again, or has ended. */
  settled(): Promise<void> {
    if (this.#stable || this.#stopping.signal.aborted) return Promise.resolve()
    return new Promise(resolve => this.#waiting.push(resolve))
  }

  /** Ends the loop; says nothing to the group. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#wake()
    this.#settle()
    await this.#running
  }

  async #run(): Promise<void> {
    const { environment, sessionTimeout, onFailed, onPassing, onLost } = this.#context
    const { signal } = this.#stopping
    for (let delay = 20; !signal.aborted;) {
      try {
        if (this.#changed) await this.#join()
        else await this.#beat()
        this.#failingSince = undefined
        delay = 20
      } catch (error) {
        if (signal.aborted) return
        const after = this.#recover(error)
        const now = environment.monotonic()
        this.#failingSince = after === 'answered' ? undefined : (this.#failingSince ?? now)
        const what = `reading as a member of group '${this.#context.group}'`
        if (after === 'failed') {
          onLost()
          onFailed(explain(error, what))
          this.#stopping.abort()
          return this.#settle()
        }
        // The group has gone on by now. It is told, and tried on.
        if (now - (this.#failingSince ?? now) > sessionTimeout) {
          this.#failingSince = now
          this.#lose(this.#membership.memberId)
          onPassing(explain(error, what))
        }
        await sleep(environment, after === 'answered' ? 10 : delay, signal).catch(() => undefined)
        delay = Math.min(delay * 2, 500)
      }
    }
  }

  /** What a failure means for the membership. */
  #recover(error: unknown): 'answered' | 'again' | 'failed' {
    const code = protocolCode(error)
    if (code === rebalancing) {
      this.#changed = true
      this.#stable = false
      return 'answered'
    }
    if (code === unknownMember || code === illegalGeneration) {
      this.#lose(code === unknownMember ? '' : this.#membership.memberId)
      return 'answered'
    }
    this.#context.connection.forgetCoordinator('group', this.#context.group)
    if (code !== undefined ? passing.includes(code) : classify(error).retryable) return 'again'
    return 'failed'
  }

  #lose(memberId: string): void {
    this.#membership = { memberId, generation: -1 }
    this.#changed = true
    this.#stable = false
    this.#context.onLost()
    this.#settle()
  }

  async #join(): Promise<void> {
    const { group, topics, sessionTimeout, rebalanceTimeout, held, onAssigned } = this.#context
    this.#stable = false
    await this.#context.connection.loadTopics(topics)
    const coordinator = await this.#coordinator()
    this.#changed = false
    const metadata = encodeSubscription({ topics, held: held(), generation: this.#membership.generation })
    try {
      const joined = await coordinator.joinGroup({
        groupId: group,
        sessionTimeout,
        rebalanceTimeout: Math.max(rebalanceTimeout, sessionTimeout),
        memberId: this.#membership.memberId,
        groupProtocols: [{ name: assignerName, metadata }]
      })
      const { memberId, generationId: generation, leaderId, members } = joined
      this.#membership = { memberId, generation }
      const { memberAssignment } = await coordinator.syncGroup({
        groupId: group,
        generationId: generation,
        memberId,
        groupAssignment: memberId === leaderId ? await this.#assign(members) : this.#follow()
      })
      if (this.#stopping.signal.aborted) return
      this.#stable = true
      this.#joined = this.#context.environment.monotonic()
      onAssigned(decodeAssignment(memberAssignment))
      this.#settle()
    } catch (error) {
      this.#changed = true
      throw error
    }
  }

  #follow(): [] {
    this.#counts = new Map()
    return []
  }

  /** As the leader: for everyone. */
  async #assign(
    members: readonly { readonly memberId: string; readonly memberMetadata: Buffer }[]
  ): Promise<{ memberId: string; memberAssignment: Buffer }[]> {
    const all = members.map(({ memberId: id, memberMetadata }) => ({ id, ...decodeSubscription(memberMetadata) }))
    this.#counts = await this.#count([...new Set(all.flatMap(({ topics }) => topics))])
    const shares = assign(all, topic => this.#counts.get(topic) ?? 0)
    return Array.from(shares, ([memberId, partitions]) => ({
      memberId,
      memberAssignment: encodeAssignment(partitions)
    }))
  }

  /** 0 for a topic that is not there: another member's mistake must not end this one. */
  async #count(topics: readonly string[]): Promise<Map<string, number>> {
    const { connection, environment } = this.#context
    connection.forgetMetadata()
    const counts = new Map<string, number>()
    for (const topic of topics) {
      try {
        await connection.loadTopics([topic])
      } catch (error) {
        if (classify(error).code !== 'unknown-topic') throw error
      }
      counts.set(topic, connection.partitionCount(topic))
    }
    this.#counted = environment.monotonic()
    return counts
  }

  /** The leader asks now and then, and has the group share out again when a topic has more partitions. */
  async #lookForGrowth(): Promise<void> {
    const { environment } = this.#context
    if (this.#counts.size === 0 || environment.monotonic() - this.#counted < growthInterval) return
    const before = this.#counts
    const now = await this.#count([...before.keys()])
    if ([...now].some(([topic, count]) => count !== before.get(topic))) this.rejoin()
  }

  async #beat(): Promise<void> {
    const { environment, group, heartbeatInterval, sessionTimeout } = this.#context
    // After a rebalance the next one is likely: partitions that moved are still to be handed over.
    const recent = environment.monotonic() - this.#joined < recently
    await this.#pause(Math.min(heartbeatInterval, sessionTimeout / 3, recent ? 100 : Infinity), environment)
    await this.#lookForGrowth()
    if (this.#changed || this.#stopping.signal.aborted) return
    const { memberId, generation } = this.#membership
    const beat = this.#coordinator().then(coordinator =>
      coordinator.heartbeat({ groupId: group, memberId, groupGenerationId: generation })
    )
    // Without an answer for the length of a session the group has gone on, whatever the socket says.
    if (await within(environment, sessionTimeout, beat)) return
    this.#lose(memberId)
    throw new StreamError('timeout', `no heartbeat of group '${group}' was answered for ${sessionTimeout} ms`, {
      adapter: 'kafka',
      retryable: true
    })
  }

  #wakeUp: (() => void) | undefined

  #pause(delay: number, environment: Environment): Promise<void> {
    return new Promise(resolve => {
      const wake = (): void => {
        timer.cancel()
        this.#wakeUp = undefined
        resolve()
      }
      const timer = environment.timer(delay, wake)
      this.#wakeUp = wake
    })
  }

  #wake(): void {
    this.#wakeUp?.()
  }

  #settle(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const settle of waiting) settle()
  }

  #coordinator(): Promise<VendorBroker> {
    return this.#context.connection.coordinator('group', this.#context.group)
  }
}
