import { classified, delayOf, hasCode, withRetry } from '../broker/index.ts'
import { diagnose } from '../core/diagnostics.ts'
import { sleep } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'
import {
  commitToken,
  decodeHead,
  encodeHead,
  idle,
  step,
  type AppendOutcome,
  type Commit,
  type Head,
  type ProtocolEvent,
  type ProtocolState,
  type TaskLog,
  type TaskName
} from '../exactly-once/index.ts'
import { isReader, type StateRow, type StoredState } from '../state/index.ts'
import type { OutputBuffer } from './outputs.ts'
import type { TaskRelay } from './relay.ts'
import { AheadOfStore } from './relay-transactions.ts'
import type { StageRuntime } from './stage-runtime.ts'

/** What a task puts into a commit and gets back in recovery. */
export interface Committed {
  /** The rows of the last commit, before `recover`. */
  restore?(state: StoredState): Promise<void>
  /** From the last commit; `undefined` when there is none. */
  recover(head: Head | undefined): OutputBuffer
  /** All of the task as of now. */
  snapshot(): { readonly head: Head; readonly state: readonly StateRow[]; readonly positions: Commit['positions'] }
  /** The commit is durable: nothing is dirty. */
  applied(): void
  /** For sinks: the records of this commit, before the append of `log`. */
  beforeAppend?(log: TaskLog): Promise<void> | void
}

/** What is needed of the runtime of a stage. */
export type CommitterRuntime = Pick<StageRuntime, 'store' | 'environment' | 'adapter' | 'relay'>

/** The task is somebody else's now; what was not committed is dropped. Never leaves the pipeline. */
export class FencedSignal extends Error {}

/** Most bytes of committed outputs that may wait for the relay before the next commit waits too (law 8). */
const maxUnsentBytes = 32 * 1024 * 1024

/**
 * Runs the commit protocol (`exactly-once/protocol.ts`) for one life of a task: turns the effects of the reducer into
 * calls on the commit store and the relay.
 */
export class Committer {
  outputs!: OutputBuffer
  /** Called when the relay has come to an end: `assertSending` says why. */
  onRelayFailure: () => void = () => {}
  readonly #runtime: CommitterRuntime
  readonly #task: TaskName
  readonly #committed: Committed
  #state: ProtocolState = idle
  #log: TaskLog | undefined
  #pending: Commit | undefined
  readonly #relay: TaskRelay
  /** Of what is sent, the store has forgotten so much. */
  #foldedTo = 0
  /** Attempts at the commit under way. */
  #appends = 0
  #startedAt = 0
  #records = 0

  constructor(runtime: CommitterRuntime, task: TaskName, committed: Committed) {
    this.#runtime = runtime
    this.#task = task
    this.#committed = committed
    const { relay, store } = runtime
    this.#relay = relay.open(task, store.outputs === 'relay', () => this.onRelayFailure())
  }

  /** Number of the last commit. */
  get commitNumber(): number {
    return 'commit' in this.#state ? this.#state.commit : 0
  }

  /** Nothing more can be sent. */
  get isCutOff(): boolean {
    return this.#relay.failure !== undefined
  }

  /** Steps 1 and 2: fence, then recover. */
  async acquire(): Promise<void> {
    this.#dispatch({ type: 'assigned' })
    const log = await this.#retried('acquiring the task', () => this.#runtime.store.acquire(this.#task))
    this.#log = log
    this.#dispatch({ type: 'acquired', epoch: log.epoch, commit: log.last?.number ?? 0 })
    const head = log.last && decodeHead(log.last.head, this.#task.id)
    await this.#committed.restore?.(this.#patient(log.state))
    this.outputs = this.#committed.recover(head)
    this.#relay.recover(log.last?.number ?? 0, log.unsent)
    this.#foldedTo = this.#relay.relayedTo
    diagnose('task-assigned', { task: this.#task.id, epoch: log.epoch, commit: log.last?.number ?? 0 })
  }

  /**
   * Step 5. Resolves when everything up to now is durable; throws `FencedSignal` when a newer owner exists.
   *
   * @param records how many records it covers, for diagnostics
   */
  async commit(records: number): Promise<void> {
    // Until there is room, not until all is sent: a slow broker is no reason to stand still.
    while (this.#relay.unsentBytes > maxUnsentBytes) await this.#relay.oldest
    if (this.isCutOff) await this.assertSending()
    const { outputs } = this
    // What a sink cannot write is parked or put aside, and that is part of the commit.
    await this.#committed.beforeAppend?.(this.#log!)
    if (this.#runtime.store.outputs === 'before') await this.#runtime.relay.send(outputs.records)
    const { head, state, positions } = this.#committed.snapshot()
    const number = (this.#state.phase === 'running' ? this.#state.commit : 0) + 1
    const token = commitToken(this.#runtime.environment)
    this.#pending = {
      number,
      token,
      head: encodeHead(head),
      state,
      outputs: outputs.records,
      relayedTo: this.#relay.relayedTo,
      positions
    }
    this.#startedAt = this.#runtime.environment.monotonic()
    this.#records = records
    this.#appends = 0
    let event: ProtocolEvent | undefined = { type: 'commit-due', token }
    while (event) event = await this.#perform(event)
  }

  /** The last commit of a drain: waits for the relay, and lets the store forget what it has sent. */
  async drain(dirty: boolean): Promise<void> {
    if (dirty) await this.commit(0)
    if (this.#runtime.store.outputs !== 'relay') return
    await this.#relay.all
    await this.assertSending()
    if (this.#relay.lastOutputs > this.#foldedTo) await this.commit(0)
  }

  /** Throws what has ended the relay, if something has: this life ends with it. Not while it commits. */
  async assertSending(): Promise<void> {
    const { failure } = this.#relay
    if (failure === undefined) return
    // The commits that it does not know may be those of a newer owner.
    if (failure instanceof AheadOfStore) {
      const found = await this.#retried('reading a commit back', () => this.#log!.readBack())
      if (found === 'fenced') throw new FencedSignal()
    }
    throw failure
  }

  /**
   * Calls once everything that is committed by now has been sent: at once where nothing waits, never when this life ends
   * before. What is told to readers must be there to be read: who finds a partition silent gives up waiting some day.
   */
  whenSent(call: () => void): void {
    const relay = this.#relay
    if (relay.relayedTo >= relay.lastOutputs) return call()
    void relay.all.then(() => {
      if (this.#log && relay.failure === undefined) call()
    })
  }

  /** It is not ours any more, or there is no time: what waits for the relay is left to the next life. */
  abandon(): void {
    this.#relay.stop()
  }

  async close(): Promise<void> {
    if (this.#state.phase !== 'idle') this.#state = step(this.#state, { type: 'released' })[0]
    const log = this.#log
    this.#log = undefined
    this.#relay.close()
    await log?.close().catch(() => {}) // what matters is in the store; the next owner fences this one anyway
  }

  /** One event through the reducer, its effect carried out; gives the event that follows from it. */
  async #perform(event: ProtocolEvent): Promise<ProtocolEvent | undefined> {
    const [effect] = this.#dispatch(event)
    switch (effect?.do) {
      case 'append':
        return { type: 'appended', outcome: await this.#append() }
      case 'read-back': {
        const found = await this.#retried('reading a commit back', () => this.#log!.readBack())
        if (found === 'fenced') return { type: 'appended', outcome: 'fenced' }
        return { type: 'read-back', epoch: found.epoch, commit: found.last?.number ?? 0, token: found.last?.token }
      }
      case 'apply':
        this.#apply()
        return undefined
      case 'discard':
        diagnose('task-fenced', { task: this.#task.id, epoch: this.#log?.epoch ?? 0 })
        throw new FencedSignal()
      default:
        return undefined
    }
  }

  async #append(): Promise<AppendOutcome> {
    const { adapter, environment } = this.#runtime
    // The same again after it was found absent: a store that is full or locked must not become a busy loop.
    if (this.#appends++ > 0)
      await sleep(environment, delayOf({ first: 20, most: 5_000 }, this.#appends - 1, environment))
    try {
      return await this.#log!.append(this.#pending!)
    } catch (error) {
      throw classified(adapter, error, `committing task '${this.#task.id}'`)
    }
  }

  #apply(): void {
    const { outputs } = this
    const { number, outputs: records, relayedTo } = this.#pending!
    this.#foldedTo = relayedTo
    const bytes = outputs.bytes
    this.#committed.applied()
    outputs.clear()
    if (this.#runtime.store.outputs === 'relay') this.#relay.add(number, records)
    diagnose('commit', {
      task: this.#task.id,
      commit: number,
      records: this.#records,
      outputs: records.length,
      bytes,
      milliseconds: this.#runtime.environment.monotonic() - this.#startedAt
    })
  }

  #dispatch(event: ProtocolEvent): ReturnType<typeof step>[1] {
    const [state, effects] = step(this.#state, event)
    this.#state = state
    return effects
  }

  /** A reader that calls again after what may pass. */
  #patient(state: StoredState): StoredState {
    if (!isReader(state)) return state
    const doing = 'reading the state of'
    return {
      page: (from, most) => this.#retried(doing, () => state.page(from, most)),
      find: places => this.#retried(doing, () => state.find(places))
    }
  }

  #retried<Result>(doing: string, call: () => Promise<Result>): Promise<Result> {
    const { adapter, environment } = this.#runtime
    return withRetry({ adapter, environment, doing: `${doing} '${this.#task.id}'`, attempts: 20 }, call)
  }
}

/** What cannot be mended by another life of the task. */
export function isFatal(error: unknown): boolean {
  if (error instanceof FencedSignal || hasCode(error, 'not-owner', 'fenced')) return false // somebody else has it
  return !(StreamError.is(error) && error.retryable)
}
