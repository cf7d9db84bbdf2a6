import { sleep, type Environment, unlessAborted } from '../../core/environment.ts'
import type { TransactionOutcome } from '../../spec/index.ts'
import { connectionError, memoryError } from './errors.ts'

export type FaultOperation =
  | 'producer'
  | 'send'
  | 'join'
  | 'receive'
  | 'seek'
  | 'commit'
  | 'read-partition'
  | 'transaction'
  | 'transaction-init'
  | 'admin'

/** One call as a fault may aim at it. What is absent does not matter. */
export interface FaultTarget {
  readonly operation: FaultOperation
  readonly client?: string
  readonly group?: string
  /** For `send` with a topic or partition, only those records of the batch are concerned. */
  readonly topic?: string
  readonly partition?: number
  /** Id of a transactional producer. */
  readonly id?: string
  /** How many matching calls; default 1. */
  readonly times?: number
}

export interface FailureFault extends FaultTarget {
  /** Default: a retryable `connection` error. */
  readonly error?: unknown
  /** `before` the effect (default), or `after` it: the caller cannot know. */
  readonly when?: 'before' | 'after'
  /** For `send` aimed at a topic or partition: so many of its records are written before the failure. Default 0. */
  readonly written?: number
}

export interface TransactionFault extends Omit<FaultTarget, 'operation'> {
  /** What the caller is told. Default `unknown`. */
  readonly outcome?: TransactionOutcome
  /** What happens: nothing, all of it, or it stays open until the next producer of the id ends it in that way. */
  readonly effect: 'none' | 'committed' | 'open-committed' | 'open-aborted'
  readonly error?: unknown
}

/** A call that the test holds at the door of the broker. */
export interface HeldCall {
  /** Resolves when a matching call has come. Its effect has not happened. */
  readonly reached: Promise<void>
  /** Lets it go on. */
  release(): void
}

interface Rule {
  readonly target: FaultTarget
  left: number
  readonly failure?: FailureFault
  readonly transaction?: TransactionFault
  readonly delay?: number
  readonly duplicate?: boolean
  readonly held?: { reach(): void; readonly opened: Promise<void> }
}

/** What the client says about its own call. */
export interface FaultCall extends Omit<FaultTarget, 'times'> {
  readonly client: string
}

/**
 * Misbehaviour on demand, decided by the test and by nothing else. Rules are tried in the order in which they were made
 * and end after `times` calls; every call meets one rule at most.
 *
 * @example
 * const broker = new MemoryBroker()
 * broker.faults.fail({ operation: 'send', when: 'after' })       // the next send is written, and its caller sees an error
 * const held = broker.faults.hold({ operation: 'commit' })
 * await held.reached
 * broker.faults.kick('orders.add-up')                            // the committer is a zombie now
 * held.release()
 */
export class MemoryFaults {
  readonly #rules: Rule[] = []
  readonly #disconnected = new Set<string>()
  readonly #silent = new Set<string>()
  readonly #listeners = new Set<(client: string) => void>()
  /** Set by the broker: a group's members of a client, or all of them. */
  onKick: (group: string, client: string | undefined) => number = () => 0
  onHeartbeats: (client: string, beating: boolean) => void = () => {}

  /** The next calls reject. */
  fail(fault: FailureFault): void {
    this.#add({ target: fault, failure: fault })
  }

  /** The next transactions end in another way than they should. */
  failTransaction(fault: TransactionFault): void {
    this.#add({ target: { ...fault, operation: 'transaction' }, transaction: fault })
  }

  /** The next calls take so many ms of the environment before their effect. */
  delay(fault: FaultTarget & { readonly milliseconds: number }): void {
    this.#add({ target: fault, delay: fault.milliseconds })
  }

  /** The next sends are written twice, as by a client that resends: positions reported are those of the first. */
  duplicate(fault: Omit<FaultTarget, 'operation'> = {}): void {
    this.#add({ target: { ...fault, operation: 'send' }, duplicate: true })
  }

  /** The next call waits until the test lets it go. */
  hold(target: FaultTarget): HeldCall {
    const reached = Promise.withResolvers<void>()
    const opened = Promise.withResolvers<void>()
    this.#add({ target, held: { reach: reached.resolve, opened: opened.promise } })
    return { reached: reached.promise, release: opened.resolve }
  }

  /**
   * Takes members out of a group without telling them: zombies. Their partitions go to others at once, their commits are
   * refused, and their next receive says that all is lost and joins anew. Returns how many there were.
   */
  kick(group: string, client?: string): number {
    return this.onKick(group, client)
  }

  /** The sessions of a client's members end `sessionTimeout` after this, unless heartbeats are resumed before. */
  stopHeartbeats(client: string): void {
    this.#silent.add(client)
    this.onHeartbeats(client, false)
  }

  resumeHeartbeats(client: string): void {
    this.#silent.delete(client)
    this.onHeartbeats(client, true)
  }

  /** Every call of the client rejects with `connection`, waiting ones too, and its heartbeats stop. */
  disconnect(client: string): void {
    this.#disconnected.add(client)
    this.stopHeartbeats(client)
    for (const listener of this.#listeners) listener(client)
  }

  reconnect(client: string): void {
    this.#disconnected.delete(client)
    this.resumeHeartbeats(client)
  }

  /** Forgets all rules; connections stay as they are. */
  clear(): void {
    this.#rules.length = 0
  }

  /** Rules that have not been used up: a test may assert that there are none. */
  get pending(): number {
    return this.#rules.length
  }

  /** No rule, nobody cut off: the check that every call pays. */
  get quiet(): boolean {
    return this.#rules.length === 0 && this.#disconnected.size === 0
  }

  onDisconnect(listener: (client: string) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  isSilent(client: string): boolean {
    return this.#silent.has(client)
  }

  assertConnected(client: string): void {
    if (this.#disconnected.has(client)) throw connectionError(client)
  }

  /** Takes the first rule for this call, if there is one. `concerns` may widen the match to the records of a batch. */
  take(call: FaultCall, concerns: (target: FaultTarget) => boolean = target => places(target, call)): Rule | undefined {
    const index = this.#rules.findIndex(({ target }) => aims(target, call) && concerns(target))
    const rule = this.#rules[index]
    if (!rule) return undefined
    if (--rule.left <= 0) this.#rules.splice(index, 1)
    return rule
  }

  /** What a call pays before its effect: the connection, being held, the delay, a failure before. */
  async before(rule: Rule | undefined, client: string, environment: Environment, signal?: AbortSignal): Promise<void> {
    this.assertConnected(client)
    if (!rule) return
    if (rule.held) {
      rule.held.reach()
      await unlessAborted(rule.held.opened, signal)
    }
    if (rule.delay !== undefined) await sleep(environment, rule.delay, signal)
    this.assertConnected(client)
  }

  /** Runs an effect under whatever was ordered for it. */
  run<Value>(
    call: FaultCall,
    environment: Environment,
    effect: () => Value | Promise<Value>,
    signal?: AbortSignal
  ): Promise<Value> {
    if (this.quiet) return new Promise(resolve => resolve(effect()))
    return this.#disturbed(call, environment, effect, signal)
  }

  async #disturbed<Value>(
    call: FaultCall,
    environment: Environment,
    effect: () => Value | Promise<Value>,
    signal: AbortSignal | undefined
  ): Promise<Value> {
    const rule = this.take(call)
    await this.before(rule, call.client, environment, signal)
    if (rule?.failure && rule.failure.when !== 'after') throw failureOf(rule.failure)
    const result = await effect()
    if (rule?.failure) throw failureOf(rule.failure)
    return result
  }

  #add(rule: Omit<Rule, 'left'>): void {
    this.#rules.push({ ...rule, left: rule.target.times ?? 1 })
  }
}

export function failureOf(fault: { readonly error?: unknown }): unknown {
  return fault.error ?? memoryError('connection', 'the connection broke, by order of the test', true)
}

const aims = (target: FaultTarget, call: FaultCall): boolean =>
  target.operation === call.operation &&
  fits(target.client, call.client) &&
  fits(target.group, call.group) &&
  fits(target.id, call.id)

const places = (target: FaultTarget, call: FaultCall): boolean =>
  fits(target.topic, call.topic) && fits(target.partition, call.partition)

const fits = (wanted: unknown, given: unknown): boolean => wanted === undefined || wanted === given
